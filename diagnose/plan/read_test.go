package plan

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/diagnose/document"
	"github.com/portwhy/portwhy/diagnose/listeners"
)

const shop = `schema: portwhy.plan/v1
environments:
  dev:
  prod:
    hosts:
      edge: {addresses: [192.0.2.1, 10.0.0.1], firewall: rules/edge.nft}
      data: {addresses: 10.0.0.2}
policy:
  ranges: [8000-8999, 9500]
  reserved: 8080
services:
  web:
    owner: shop team
    about: the pages
    runs: nginx.service
    on: {prod: edge}
    ports:
      http: {port: {dev: 8081, prod: 80}, exposure: any, speaks: http}
      admin: {port: 9000, bind: 127.0.0.1, exposure: loopback}
  db:
    on: data
    ports:
      sql: {port: 5432, bind: {dev: 127.0.0.1, prod: 10.0.0.2}}
  media:
    on: {prod: edge}
    ports:
      rtp: {port: {prod: 10000-10010}, protocol: udp}
connections:
  - {from: web, to: db}
  - {from: [192.0.2.99, web], to: web.admin, environments: prod, expect: blocked}
`

func TestRead(t *testing.T) {
	p, err := Read("plan.yaml", strings.NewReader(shop))
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	prod, _ := p.Environment("prod")
	if want := []Host{{"edge", []netip.Addr{addr("192.0.2.1"), addr("10.0.0.1")}, []string{"rules/edge.nft"}, Position{6, 7}}, {"data", []netip.Addr{addr("10.0.0.2")}, nil, Position{7, 7}}}; !reflect.DeepEqual(prod.Hosts, want) {
		t.Errorf("hosts %+v", prod.Hosts)
	}
	if want := (Policy{[]Range{{8000, 8999}, One(9500)}, []Range{One(8080)}}); !reflect.DeepEqual(p.Policy, want) {
		t.Errorf("policy %+v", p.Policy)
	}
	web := p.Services[0]
	if web.Owner != "shop team" || web.About != "the pages" || web.Runs != "nginx.service" || web.On["prod"] != "edge" || web.On["dev"] != "" {
		t.Errorf("web %+v", web)
	}
	if h := web.Ports[0]; h.Exposure != listeners.ReachAny || h.Speaks != "http" || h.Numbers["dev"] != One(8081) || h.Numbers["prod"] != One(80) {
		t.Errorf("web.http %+v", h)
	}
	var got []string
	for _, c := range p.Claims("prod") {
		got = append(got, c.Who()+" "+c.String()+" on "+c.Host)
	}
	want := []string{"web.http *:80/tcp on edge", "web.admin 127.0.0.1:9000/tcp on edge", "db.sql 10.0.0.2:5432/tcp on data", "media.rtp *:10000-10010/udp on edge"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("claims in prod:\n%s", strings.Join(got, "\n"))
	}
	if got := p.Claims("dev"); len(got) != 3 || got[2].Address != addr("127.0.0.1") || got[2].Line != 23 || got[2].Column != 7 {
		t.Errorf("claims in dev: %+v", got)
	}
	if c := p.Connections; len(c) != 3 || c[0].From != "web" || c[0].Port != "sql" || c[0].Denied || c[1].Source != addr("192.0.2.99") || !c[1].Denied || c[2].From != "web" || c[2].Environments[0] != "prod" {
		t.Errorf("connections %+v", c)
	}
}

func TestReadPlain(t *testing.T) {
	p, err := Read("plan.yaml", strings.NewReader("schema: portwhy.plan/v1\nservices: {a: {ports: {http: 80}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Claims(DefaultEnvironment); len(got) != 1 || got[0].Ports != One(80) {
		t.Errorf("claims %+v", got)
	}
}

func TestReadErrors(t *testing.T) {
	replace := func(old, with string) string {
		if !strings.Contains(shop, old) {
			t.Fatalf("no %q in the plan", old)
		}
		return strings.Replace(shop, old, with, 1)
	}
	for _, c := range []struct{ text, want string }{
		{"services: {a: {}}", "plan.yaml:1:1: expected schema: portwhy.plan/v1"},
		{"schema: portwhy.plan/v2", `plan.yaml:1:9: "portwhy.plan/v2" is none of portwhy.plan/v1`},
		{"schema: portwhy.plan/v1", "plan.yaml:1:1: expected services: none is declared"},
		{replace("services:", "service:"), `plan.yaml:11:1: unknown key "service"; "services" was meant?`},
		{replace("  web:", "  web.1:"), `plan.yaml:12:3: "web.1" is no name: it has letters, digits, - and _, at most 63`},
		{replace("port: {dev: 8081", "port: {dve: 8081"), `plan.yaml:18:21: no environment "dve"; dev was meant?`},
		{replace("8081", "80810"), `plan.yaml:18:26: "80810" is neither a port from 1 to 65535 nor a range of them, as in 8000-8010`},
		{replace("10000-10010", "10010-10000"), "the range 10010-10000 ends before it begins"},
		{replace("protocol: udp", "protocol: sctp"), `"sctp" is none of tcp, udp`},
		{replace("exposure: any", "exposure: all"), `"all" is none of loopback, host, lan, any`},
		{replace("speaks: http", "speaks: gopher"), `"gopher" is no protocol that can be spoken here`},
		{replace("on: {prod: edge}", "on: {prod: egde}"), `environment prod has no host "egde"; edge was meant?`},
		{replace("    on: data\n", ""), "plan.yaml:20:3: expected on: which of the 2 hosts of prod it is on"},
		{replace("on: data", "on: date"), `plan.yaml:21:9: environment prod has no host "date"; data was meant?`},
		{replace("bind: 127.0.0.1", "bind: localhost"), `expected an IPv4 or IPv6 address, found "localhost"`},
		{replace("10.0.0.2}", "0.0.0.0}"), `expected the address of a host, found "0.0.0.0"`},
		{replace("rules/edge.nft", "../edge.nft"), `plan.yaml:6:58: "../edge.nft" leads out of the plan's directory`},
		{replace("rules/edge.nft", "/etc/shadow"), `"/etc/shadow" leads out of the plan's directory`},
		{replace("to: db}", "to: bd}"), `plan.yaml:29:21: no service "bd"; db was meant?`},
		{replace("to: db}", "to: web}"), "web has 2 ports: name one, as in web.PORT"},
		{replace("to: db}", "to: web.htpt}"), `web has no port "htpt"; http was meant?`},
		{replace("to: db}", "to: media}"), "media is a range in prod: a connection goes to one port"},
		{replace("from: web, to: db", "from: wbe, to: db"), `no service "wbe"; web was meant?`},
		{replace("from: web, to: db", "to: db"), "plan.yaml:29:5: expected from: a service"},
		{replace("192.0.2.99", `"::"`), `expected the address of a host, found "::"`},
		{replace("expect: blocked", "expect: refused"), `"refused" is none of connected, blocked`},
		{replace("environments: prod", "environments: [prod, test]"), `no environment "test"`},
		{"schema: portwhy.plan/v1\nenvironments: [dev, dev]\n", `plan.yaml:2:21: "dev" is given twice`},
		{"schema: portwhy.plan/v1\nenvironments: []\n", "plan.yaml:2:15: expected from 1 to 50 environments"},
		{"schema: portwhy.plan/v1\nservices: {a: {ports: {x: }}}\n", "expected a port"},
		{"schema: portwhy.plan/v1\nservices: {a: {ports: {x: {bind: ::1}}}}\n", "expected port: its number"},
	} {
		_, err := Read("plan.yaml", strings.NewReader(c.text))
		var e *document.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(shop)
	f.Add("schema: portwhy.plan/v1\nservices: {a: {ports: {http: 80}}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Read("f", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, e := range p.Environments {
			for _, c := range p.Claims(e.Name) {
				if c.Ports.Len() < 1 || c.Ports.First == 0 {
					t.Fatalf("claims %v", c)
				}
				if len(e.Hosts) > 0 && c.Host == "" {
					t.Fatalf("%s is on no host", c.Who())
				}
			}
			Conflicts(p.Claims(e.Name))
		}
	})
}
