package config

import (
	"slices"
	"strings"
	"testing"
)

func unitOf(name string, texts ...string) Unit {
	var list []File
	for i, text := range texts {
		path := "/u/" + name
		if i > 0 {
			path = "/u/" + name + ".d/" + string(rune('a'+i-1)) + ".conf"
		}
		list = append(list, File{Path: path, Data: []byte(text)})
	}
	return ParseUnit(name, list)
}

func TestUnitSocket(t *testing.T) {
	u := unitOf("web.socket", "[Unit]\nListenStream=1\n[Socket]\nListenStream=80\nListenDatagram = [::1]:53\nListenStream=/run/web.sock\n; ListenStream=9\nListenStream=@abstract\nListenFIFO=/run/fifo\nListenNetlink=route 1\nListenStream=vsock::1\nListenStream=10.0.0.1:81\nListenStream=70000\nListenStream=0\nListenSequentialPacket=/run/seq\n[Install]\nWantedBy=sockets.target\n")
	expect(t, u.Claims(nil), "tcp :::80 web.socket:4", "udp ::1:53 web.socket:5", "unix /run/web.sock web.socket:6", "unix @abstract web.socket:8", "tcp 10.0.0.1:81 web.socket:12", "unix /run/seq web.socket:15")
	if !u.Installable {
		t.Error("not installable")
	}
	u = unitOf("web.socket", "[Socket]\nListenStream=80\n", "[Socket]\nListenStream=\nListenStream=8080\n")
	expect(t, u.Claims(nil), "tcp :::8080 a.conf:3")
}

func TestUnitService(t *testing.T) {
	f := files{"/etc/default/prometheus": "# comment\nARGS=\"--web.listen-address=:9191 \\\n  --web.x=y\"\nMETRICS_PORT=9200\nexport DB_PORT=5432\nBAD LINE\n=x\n"}
	for _, test := range []struct {
		name  string
		texts []string
		want  []string
	}{
		{"a.service", []string{"[Service]\nExecStart=/usr/bin/python3 -m http.server 8080\nEnvironment=PORT=8080 \"LISTEN_ADDR=127.0.0.1:1\" SECRET=3\n"},
			[]string{"tcp :8080 a.service:2", "tcp :8080 a.service:3", "tcp 127.0.0.1:1 a.service:3"}},
		{"a.service", []string{"[Service]\nExecStart=/bin/a --port 1\n", "[Service]\nExecStart=\nExecStart=-/bin/a \\\n# comment within\n  --port 2\n"}, []string{"tcp :2 a.conf:3"}},
		{"prometheus.service", []string{"[Service]\nEnvironmentFile=-/etc/default/prometheus\nExecStart=/usr/bin/prometheus $ARGS\n"},
			[]string{"tcp *:9191 prometheus:2", "tcp :9200 prometheus:4"}},
		{"a.service", []string{"[Service]\nEnvironment=\"P=8123\" Q=9\nExecStart=@/bin/a a --port ${P} --x=${NONE}${unclosed\n"}, []string{"tcp :8123 a.service:2"}},
		{"app@8080.service", []string{"[Service]\nExecStart=/bin/app --port %i --name %n --x 100%%\n"}, []string{"tcp :8080 app@8080.service:2"}},
		{"a.service", []string{"[Service]\nEnvironment=PORT=1\nEnvironment=\nEnvironment=PORT=2\nEnvironment=PORT=3\nEnvironmentFile=/nowhere\nEnvironmentFile=\nEnvironmentFile=relative\nExecStart=/bin/a\n"}, []string{"tcp :3 a.service:5"}},
		{"a.service", []string{"[Service]\nExecStart=/bin/sh -c \"exec app --port 81\"\nExecStart='/bin/my app' :82\n"}, []string{"tcp :81 a.service:2", "tcp *:82 a.service:3"}},
		{"a.service", []string{"ExecStart=/bin/a --port 1\n[Unit]\nExecStart=/bin/a --port 2\n[Service]\nExecStart\nExecStart=\nExecStart=-\n[Service\n"}, []string{}},
	} {
		u := unitOf(test.name, test.texts...)
		claims := u.Claims(f.reader)
		expect(t, claims, test.want...)
		for _, c := range claims {
			if c.Unit != test.name {
				t.Errorf("unit %q", c.Unit)
			}
		}
	}
}

func TestUnitWords(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
	}{
		{`a "b c" 'd "e' f\x`, []string{"a", "b c", `d "e`, "fx"}},
		{`"A=b c" D="e f"`, []string{"A=b c", `D="e`, `f"`}},
		{`a\ b "" c\`, []string{"a b", "", `c\`}},
		{"", nil},
	} {
		if got := unitWords(test.in); !slices.Equal(got, test.want) {
			t.Errorf("unitWords(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func FuzzUnit(f *testing.F) {
	for _, seed := range []string{
		"[Socket]\nListenStream=80\nListenStream=\n", "[Service]\nEnvironment=A=1\nEnvironmentFile=/x\nExecStart=/a --port ${A} $A \\\n b\n", "[Install]\nWantedBy=x", "[Service]\nExecStart=@-:+!|/a %i%",
	} {
		f.Add([]byte(seed), []byte("PORT=1\nARGS='--port 2'\n"))
	}
	f.Fuzz(func(t *testing.T, data, env []byte) {
		u := ParseUnit("x@y.service", []File{{Path: "/u/x", Data: data}, {Path: "/u/y", Data: data}})
		claims := u.Claims(func(pattern string) []File { return []File{{Path: pattern, Data: env}} })
		all := data
		if strings.Count(string(env), "\n") > strings.Count(string(data), "\n") {
			all = env
		}
		checkClaims(t, claims, all)
	})
}
