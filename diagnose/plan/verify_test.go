package plan

import (
	"strings"
	"testing"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
)

func mustRead(t *testing.T, text string) *Plan {
	t.Helper()
	p, err := Read("plan.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const hosts = `schema: portwhy.plan/v1
environments:
  prod:
    hosts:
      edge: {addresses: [192.0.2.1, "2001:db8::1"]}
      data: {addresses: 10.0.0.2}
      bare: {}
services:
  web: {on: edge, ports: {http: {port: 80, speaks: http}, admin: {port: 9000, bind: 127.0.0.1}}}
  db: {on: data, ports: {sql: 5432}}
  old: {on: bare, ports: {x: 1}}
`

// What is asked depends on which end this host is.
func TestEdges(t *testing.T) {
	for _, c := range []struct{ connection, on, target, source, why string }{
		{"from: web, to: db", "edge", "10.0.0.2:5432", "", ""},
		{"from: web, to: db", "data", "10.0.0.2:5432", "192.0.2.1", ""},
		{"from: web, to: db", "bare", "", "", "neither end is on this host"},
		{"from: db, to: web.http", "data", "http://192.0.2.1:80", "", ""},
		{"from: db, to: web.admin", "data", "192.0.2.1:9000", "", ""},
		{"from: web, to: web.admin", "edge", "127.0.0.1:9000", "", ""},
		{"from: web, to: web.http", "edge", "http://192.0.2.1:80", "", ""},
		{`from: "2001:db8::9", to: web.http`, "edge", "http://[2001:db8::1]:80", "2001:db8::9", ""},
		{`from: "2001:db8::9", to: db`, "data", "", "", "the plan tells no address of db's host"},
		{"from: 198.51.100.1, to: db", "edge", "", "", "neither end is on this host"},
		{"from: old, to: db", "data", "", "", "the plan tells no address of old's host"},
		{"from: db, to: old", "data", "", "", "the plan tells no address of old's host"},
		{"from: old, to: old", "bare", "localhost:1", "", ""},
	} {
		p := mustRead(t, hosts+"connections: [{"+c.connection+"}]\n")
		env, _ := p.Environment("prod")
		e := p.Edges(env, c.on)[0]
		if e.Target != c.target || e.Source != c.source || e.Why != c.why {
			t.Errorf("%s on %s: %q from %q, %q", c.connection, c.on, e.Target, e.Source, e.Why)
		}
	}
}

func TestFaults(t *testing.T) {
	p := mustRead(t, hosts+"  twin: {on: edge, ports: {x: {port: 80, bind: 192.0.2.1}, y: {port: 70, exposure: loopback}}}\nconnections:\n  - {from: db, to: web.admin}\n  - {from: db, to: web.admin, expect: blocked}\n  - {from: web, to: web.admin}\n")
	var got []string
	for _, f := range p.Faults() {
		got = append(got, f.Code+" "+string(f.Severity)+": "+f.Title)
	}
	want := []string{
		"port-declared-twice error: web.http and twin.x both want 80/tcp on edge in prod",
		"listener-too-open warning: twin.y is meant for loopback and binds *:70/tcp",
		"listener-other-address error: db connects from another host to web.admin, which listens on 127.0.0.1 only",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	p = mustRead(t, "schema: portwhy.plan/v1\nenvironments: [dev, prod]\nservices: {a: {ports: {x: {port: {dev: 1}}}}}\nconnections: [{from: a, to: a}]\n")
	if f := p.Faults(); len(f) != 1 || f[0].Code != "no-listener" || f[0].Environment != "prod" {
		t.Errorf("a port that isn't open in prod: %+v", f)
	}
}

func TestJudgeBlocked(t *testing.T) {
	for _, c := range []struct {
		status diagnose.Status
		code   string
		want   diagnose.Status
	}{
		{diagnose.OK, "", diagnose.Broken},
		{diagnose.Warning, "", diagnose.Broken},
		{diagnose.StatusUnknown, "", diagnose.StatusUnknown},
		{diagnose.Broken, "firewall-drop", diagnose.OK},
		{diagnose.Broken, "no-listener", diagnose.Warning},
	} {
		r := &diagnose.Report{Status: c.status}
		if c.code != "" {
			r.RootCause = &diagnose.Cause{Code: c.code}
		}
		e := Edge{Expect: "blocked"}
		if e.Judge(r); e.Status != c.want {
			t.Errorf("%v %s: %v, want %v", c.status, c.code, e.Status, c.want)
		}
	}
}

func TestListening(t *testing.T) {
	p := mustRead(t, "schema: portwhy.plan/v1\nservices:\n  a: {ports: {x: {port: 80, exposure: lan}, y: {port: 81, bind: 127.0.0.1}, z: {port: 90-99}, u: {port: 53, protocol: udp}}}\n")
	l := &listeners.List{Listeners: []listeners.Listener{
		{Network: "tcp", Address: "::", Port: 80, Reach: listeners.ReachAny},
		{Network: "tcp", Address: "10.0.0.1", Port: 81, Reach: listeners.ReachLAN},
		{Network: "udp", Address: "0.0.0.0", Port: 53, Reach: listeners.ReachAny},
	}}
	var got []string
	for _, f := range p.Listening(DefaultEnvironment, "", l) {
		got = append(got, f.Code+": "+f.Title)
	}
	want := "listener-too-open: a.x is meant for lan, and by its address anybody can reach it\nno-listener: a.y doesn't listen: nothing has 127.0.0.1:81/tcp here"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestNext(t *testing.T) {
	p := mustRead(t, "schema: portwhy.plan/v1\nenvironments: [dev, prod]\npolicy: {ranges: [100-103, 200], reserved: 100}\nservices: {a: {ports: {x: {port: {dev: 101}}}}}\n")
	got := p.Next(5, func(port uint16) bool { return port == 103 })
	if len(got) != 2 || got[0] != 102 || got[1] != 200 {
		t.Errorf("Next: %v", got)
	}
	if got := (&Plan{}).Next(1, func(uint16) bool { return false }); len(got) != 1 || got[0] != 8000 {
		t.Errorf("Next without a policy: %v", got)
	}
}

// What is made of listeners is read again as it was meant.
func TestFromListeners(t *testing.T) {
	l := &listeners.List{Listeners: []listeners.Listener{
		{Network: "tcp", Address: "0.0.0.0", Port: 80, Unit: "nginx.service", Reach: listeners.ReachAny},
		{Network: "tcp", Address: "::", Port: 80, Unit: "nginx.service", Reach: listeners.ReachAny},
		{Network: "tcp", Address: "127.0.0.1", Port: 80, Process: "a: b\n- \x1b[31m", Reach: listeners.ReachLoopback},
		{Network: "udp", Address: "::1", Port: 53, Container: "…", Reach: listeners.ReachLoopback},
		{Network: "udp", Address: "0.0.0.0", Port: 40000, Process: "client", Reach: listeners.ReachAny},
	}}
	doc, err := FromListeners(l).YAML()
	if err != nil {
		t.Fatal(err)
	}
	p := mustRead(t, string(doc))
	var got []string
	for _, c := range p.Claims(DefaultEnvironment) {
		got = append(got, c.Who()+" "+c.String())
	}
	if want := "a--b-----31m.tcp80 127.0.0.1:80/tcp\nnginx.tcp80 *:80/tcp\nunseen.udp53 [::1]:53/udp"; strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s\nof\n%s", strings.Join(got, "\n"), want, doc)
	}
	if p.Runs("nginx") != "nginx.service" || p.Runs("a--b-----31m") != "a: b\n- \x1b[31m" {
		t.Errorf("runs %q, %q", p.Runs("nginx"), p.Runs("a--b-----31m"))
	}
}
