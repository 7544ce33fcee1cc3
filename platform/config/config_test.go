package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// files are a tree of configuration files by path; the first path in order is
// not special.
type files map[string]string

func (f files) reader(pattern string) []File {
	var names []string
	for name := range f {
		if ok, _ := path.Match(pattern, name); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var list []File
	for _, name := range names {
		list = append(list, File{Path: name, Data: []byte(f[name])})
	}
	return list
}

func (f files) file(name string) File { return File{Path: name, Data: []byte(f[name])} }

// show writes claims as "off tcp *:80 file:line", the form in which tests expect
// them.
func show(claims []host.Claim) []string {
	lines := []string{}
	for _, c := range claims {
		where := fmt.Sprintf("%s:%d", c.Address, c.Port)
		if c.Path != "" {
			where = c.Path
		}
		line := fmt.Sprintf("%s %s %s:%d", c.Network, where, path.Base(c.File), c.Line)
		if c.Disabled {
			line = "off " + line
		}
		lines = append(lines, line)
	}
	return lines
}

func expect(t *testing.T, claims []host.Claim, want ...string) {
	t.Helper()
	if got := show(claims); !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	for _, c := range claims {
		if c.Program == "" || c.Key == "" || c.Text == "" || c.Line < 1 {
			t.Errorf("incomplete claim %+v", c)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, test := range []struct {
		in, address string
		port        uint16
		ok          bool
	}{
		{"80", "*", 80, true},
		{":80", "*", 80, true},
		{"*:80", "*", 80, true},
		{"*", "*", 0, true},
		{"0.0.0.0:80", "0.0.0.0", 80, true},
		{"[::]:80", "::", 80, true},
		{"[::1]", "::1", 0, true},
		{"::1", "::1", 0, true},
		{"localhost", "localhost", 0, true},
		{"db-1.example.org:5432", "db-1.example.org", 5432, true},
		{"", "", 0, false},
		{":", "", 0, false},
		{"0", "", 0, false},
		{":0", "", 0, false},
		{"65536", "", 0, false},
		{":65536", "", 0, false},
		{"80x", "80x", 0, true},
		{"a:80x", "", 0, false},
		{"a:+80", "", 0, false},
		{"[::]80", "", 0, false},
		{"[nonsense]:80", "", 0, false},
		{"[::]:", "", 0, false},
		{"a b:80", "", 0, false},
		{"$x:80", "", 0, false},
	} {
		address, port, ok := endpoint(test.in)
		if ok != test.ok || ok && (address != test.address || port != test.port) {
			t.Errorf("endpoint(%q) = %q, %d, %v; want %q, %d, %v", test.in, address, port, ok, test.address, test.port, test.ok)
		}
	}
}

func TestPortRange(t *testing.T) {
	for _, test := range []struct {
		in   string
		want int
	}{{"80", 1}, {"8000-8010", 11}, {"8010-8000", 0}, {"1-65535", maxRange}, {"", 0}, {"-", 0}, {"80-", 0}, {"0-3", 0}, {"65535-65536", 0}} {
		if got := portRange(test.in); len(got) != test.want {
			t.Errorf("portRange(%q) has %d ports, want %d", test.in, len(got), test.want)
		}
	}
}

// TestHostile feeds every reader what no program would write.
func TestHostile(t *testing.T) {
	long := strings.Repeat("listen 80;\nPort 80\nListen 80\nbind :1-65535\nhttp_port 1\n", 20000)
	for _, kind := range kinds {
		for _, text := range []string{"", "\x00", long, strings.Repeat("{", 1<<16), strings.Repeat("server{", 1<<14), strings.Repeat("<IfModule a>\n", 1<<12), "listen \xff\xfe:80;"} {
			claims := Read(kind, File{Path: "/x", Data: []byte(text)}, nil, "")
			if len(claims) > maxClaims {
				t.Errorf("%s: %d claims", kind, len(claims))
			}
		}
	}
}

// TestIncludeLoop has files that include each other and themselves.
func TestIncludeLoop(t *testing.T) {
	for kind, include := range map[Kind]string{
		KindNginx: "include /c/*;\nlisten 1;", KindApache: "Include /c/*\nListen 1", KindSSH: "Include /c/*\nPort 1",
		KindPostgreSQL: "include_dir = '/c'\ninclude '/c/a.conf'\nport = 1", KindRedis: "include /c/a.conf\nport 1",
		KindMySQL: "!includedir /c\n[mysqld]\nport=1", KindSquid: "include /c/*\nhttp_port 1", KindDnsmasq: "conf-dir=/c\nport=1",
	} {
		f := files{}
		for _, name := range []string{"a", "b", "c", "d"} {
			f["/c/"+name+".conf"], f["/c/"+name+".cnf"] = include, include
		}
		reads := 0
		read := func(pattern string) []File {
			if reads++; reads > 200 {
				t.Fatalf("%s: reads without end", kind)
			}
			return f.reader(pattern)
		}
		if claims := Read(kind, f.file("/c/a.conf"), read, "u.service"); len(claims) == 0 || claims[0].Unit != "u.service" {
			t.Errorf("%s: %v", kind, claims)
		}
	}
}

func TestModified(t *testing.T) {
	when := time.Unix(1700000000, 0)
	claims := SSH(File{Path: "/etc/ssh/sshd_config", Data: []byte("Port 22\r\n"), Modified: when}, nil)
	if len(claims) != 1 || !claims[0].Modified.Equal(when) || claims[0].Text != "Port 22" || claims[0].Program != "sshd" || claims[0].Unit != "ssh.service" || claims[0].Key != "Port" {
		t.Errorf("%+v", claims)
	}
}

var kinds = []Kind{KindNginx, KindApache, KindSSH, KindPostgreSQL, KindRedis, KindValkey, KindMySQL, KindHAProxy, KindSquid, KindMemcached, KindDnsmasq}

// fuzzReader fuzzes one reader: it must not panic, and its claims must be fit to
// carry.
func fuzzReader(f *testing.F, kind Kind, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// What it includes is itself, by another name.
		read := func(pattern string) []File { return []File{{Path: pattern, Data: data}} }
		checkClaims(t, Read(kind, File{Path: "/etc/main", Data: data}, read, ""), data)
	})
}

func checkClaims(t *testing.T, claims []host.Claim, data []byte) {
	t.Helper()
	if len(claims) > maxClaims {
		t.Fatalf("%d claims", len(claims))
	}
	lines := strings.Count(string(data), "\n") + 1
	for _, c := range claims {
		for _, s := range []string{c.Program, c.Key, c.Unit, c.Address, c.Path, c.File, c.Text} {
			if s != host.Clean([]byte(s), len(s)) {
				t.Fatalf("not clean: %q", s)
			}
		}
		if c.Line < 1 || c.Line > lines {
			t.Fatalf("line %d of %d", c.Line, lines)
		}
		if c.Port == 0 && c.Path == "" {
			t.Fatalf("neither port nor path: %+v", c)
		}
	}
}
