package diagnose

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"unicode"
)

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]Target{
		"62893":                    {Network: "tcp", Host: "localhost", Port: 62893, AnyHost: true},
		":62893":                   {Network: "tcp", Host: "localhost", Port: 62893, AnyHost: true},
		"localhost:80":             {Network: "tcp", Host: "localhost", Port: 80},
		"127.0.0.1:80":             {Network: "tcp", Host: "127.0.0.1", Addr: netip.MustParseAddr("127.0.0.1"), Port: 80},
		"[::1]:80":                 {Network: "tcp", Host: "::1", Addr: netip.IPv6Loopback(), Port: 80},
		"[::1%lo]:80":              {Network: "tcp", Host: "::1%lo", Addr: netip.MustParseAddr("::1%lo"), Port: 80},
		"[::ffff:10.0.0.1]:80":     {Network: "tcp", Host: "::ffff:10.0.0.1", Addr: netip.MustParseAddr("10.0.0.1"), Port: 80},
		"db1:5432":                 {Network: "tcp", Host: "db1", Port: 5432},
		"db-1.example.:5432":       {Network: "tcp", Host: "db-1.example.", Port: 5432},
		"udp://10.0.0.1:53":        {Network: "udp", Host: "10.0.0.1", Addr: netip.MustParseAddr("10.0.0.1"), Port: 53},
		"udp://:53":                {Network: "udp", Host: "localhost", Port: 53, AnyHost: true},
		"udp://53":                 {Network: "udp", Host: "localhost", Port: 53, AnyHost: true},
		"tcp://h:1":                {Network: "tcp", Host: "h", Port: 1},
		"TCP://h:1":                {Network: "tcp", Host: "h", Port: 1},
		"https://host/path?q=1#f":  {Network: "tcp", Host: "host", Port: 443, Scheme: "https", Service: "https", URLPath: "/path?q=1", Input: "https://host/path?…"},
		"http://host:8080":         {Network: "tcp", Host: "host", Port: 8080, Scheme: "http", Service: "http"},
		"http://[::1]/":            {Network: "tcp", Host: "::1", Addr: netip.IPv6Loopback(), Port: 80, Scheme: "http", Service: "http", URLPath: "/"},
		"redis://localhost":        {Network: "tcp", Host: "localhost", Port: 6379, Scheme: "redis", Service: "redis"},
		"localhost:postgresql":     {Network: "tcp", Host: "localhost", Port: 5432, Scheme: "postgresql", Service: "postgresql"},
		"localhost:HTTP":           {Network: "tcp", Host: "localhost", Port: 80, Scheme: "http", Service: "http"},
		"localhost:ntp":            {Network: "tcp", Host: "localhost", Port: 123, Service: "ntp"},
		"unix:///run/x.sock":       {Network: "unix", Path: "/run/x.sock"},
		"unix:/run/x.sock":         {Network: "unix", Path: "/run/x.sock"},
		"unix:@abstract":           {Network: "unix", Path: "@abstract"},
		"postgres://u:p@h/db":      {Network: "tcp", Host: "h", Port: 5432, Scheme: "postgresql", Service: "postgres", URLPath: "/db", Input: "postgres://…@h/db"},
		"http://user:p%40w@h:1/#x": {Network: "tcp", Host: "h", Port: 1, Scheme: "http", Service: "http", URLPath: "/", Input: "http://…@h:1/#…"},
		"http://db1:80@db1:80":     {Network: "tcp", Host: "db1", Port: 80, Scheme: "http", Service: "http", Input: "http://…@db1:80"},
		"http://h/@joe?q=a@b":      {Network: "tcp", Host: "h", Port: 80, Scheme: "http", Service: "http", URLPath: "/@joe?q=a@b", Input: "http://h/@joe?…"},
		"http://h/p?":              {Network: "tcp", Host: "h", Port: 80, Scheme: "http", Service: "http", URLPath: "/p?"},
		"http://h/p?…":             {Network: "tcp", Host: "h", Port: 80, Scheme: "http", Service: "http", URLPath: "/p?…"},
	} {
		got, err := ParseTarget(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if want.Input == "" {
			want.Input = in
		}
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", in, got, want)
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "is empty",
		"localhost":                           "has no port",
		"diagnos":                             "has no port",
		"localhost:":                          "no port after",
		"0":                                   "port 0",
		":0":                                  "port 0",
		"65536":                               "above 65535",
		"99999999999999999999":                "above 65535",
		"host:99999":                          "above 65535",
		"host:-1":                             "neither a port",
		"host:http2x":                         "neither a port",
		"::1":                                 "needs brackets",
		"fe80::1:80:zz":                       "more than one ':'",
		"[::1":                                "without ']'",
		"[::1]80":                             "expected ':'",
		"[::1]:":                              "no port after",
		"[127.0.0.1]:80":                      "not an IPv6 address",
		"[zz]:80":                             "not an IPv6 address",
		"127.1:80":                            "looks like an address",
		"0x7f.1:80":                           "looks like an address",
		"2130706433:80":                       "looks like an address",
		"1.2.3.4.5:80":                        "looks like an address",
		"a b:80":                              "space or control",
		"a\x1b[31m:80":                        "space or control",
		"a\u202eb:80":                         "space or control",
		"\xff:80":                             "not valid UTF-8",
		"bücher.example:80":                   "not ASCII",
		"host:٨٠":                             "neither a port",
		"-x:80":                               "begins or ends with '-'",
		"a..b:80":                             "empty part",
		strings.Repeat("a", 64) + ":1":        "longer than 63",
		strings.Repeat("a.", 130) + "b:1":     "longer than 253",
		strings.Repeat("x", 3000):             "longer than 2048",
		"gopher://h:70":                       "unknown scheme",
		"tcp://h:1/path":                      "has no path",
		"tcp://h":                             "has no port",
		"unix:":                               "absolute path",
		"unix://relative":                     "absolute path",
		"unix:///" + strings.Repeat("a", 120): "107 bytes",
		"a;rm:80":                             "has the character",
		"$(x):80":                             "has the character",
		"http://":                             "neither a host nor a port",
		"http://:0":                           "port 0",
	} {
		got, err := ParseTarget(in)
		var bad *TargetError
		if !errors.As(err, &bad) {
			t.Errorf("%q: accepted as %+v (error %v)", in, got, err)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
		if len(err.Error()) > 400 || strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("%q: the error is no clean line: %q", in, err)
		}
	}
}

// No word of a secret in a target is in what is told of it, nor in an error.
func TestTargetSecrets(t *testing.T) {
	for _, in := range []string{
		"http://joe:SECRET@h/p?token=SECRET#SECRET", "http://joe:SECRET@joe:SECRET@h", "postgres://SECRET@h/db?password=SECRET", "http://h/?SECRET",
		"http://h#SECRET", "redis://:SECRET@h",
		// What can't be understood:
		"http://joe:SECRET@h:99999/?SECRET", "http://joe:SECRET/x@h/", "http://joe:a?SECRET@h/", "http://joe:SECRET#x@h/p", "gopher://joe:SECRET@h",
		"joe:SECRET@h:80", "joe@SECRET@h:80", "h:80/?token=SECRET", "h:80?token=SECRET", "tcp://joe:SECRET@h", "http://joe:SECRET@h:x/", "http://joe:SECRET@:0/?SECRET",
		"http://joe:SECRET@[::1/?SECRET", "tcp://h:1?SECRET", "http://h/%zz?SECRET", "http://joe:SECRET@" + strings.Repeat("h", 3000),
	} {
		target, err := ParseTarget(in)
		said := target.Input
		if err != nil {
			said = err.Error()
		}
		if said == "" || strings.Contains(said, "SECRET") {
			t.Errorf("%s: %s", in, said)
		}
		if again, err2 := ParseTarget(target.Input); err == nil && (err2 != nil || again.Input != target.Input) {
			t.Errorf("%s, told as %s, is then %s, %v", in, target.Input, again.Input, err2)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"62893", "[::1%lo]:80", "https://u:p@h/x", "unix:///x", "localhost:http", "udp://[fe80::1]:53", "0x7f.1:80", "a@b@c:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		target, err := ParseTarget(in)
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("error with a control character: %q", err)
			}
			return
		}
		if target.Network != "unix" && target.Port == 0 {
			t.Errorf("%q has port 0", in)
		}
		if target.Network != "unix" && target.Host == "" {
			t.Errorf("%q has no host", in)
		}
		if strings.ContainsFunc(target.Host+target.Path+target.URLPath, unicode.IsControl) {
			t.Errorf("%q: control character kept: %+v", in, target)
		}
	})
}
