package redact

import (
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	r := testRedactor()
	host, four, six := r.host("shop7.acme.com"), r.host("10.1.2.3"), r.host("fd00::5")
	if strings.Contains(host, "acme") || !strings.HasSuffix(host, ".com") || strings.Count(host, ".") != 2 {
		t.Errorf("the host became %q", host)
	}
	for _, c := range []struct{ in, want string }{
		{"62893", "62893"}, {":62893", ":62893"}, {"localhost:62893", "localhost:62893"}, {"127.0.0.1:80", "127.0.0.1:80"}, {"[::1]:80", "[::1]:80"},
		{"shop7.acme.com:5432", host + ":5432"}, {"10.1.2.3:80", four + ":80"}, {"10.1.2.3", four}, {"[fd00::5]:80", "[" + six + "]:80"}, {"fd00::5", six},
		{"udp://10.1.2.3:53", "udp://" + four + ":53"}, {"https://shop7.acme.com/a?x=1", "https://" + host + "/a?x=1"}, {"localhost:postgresql", "localhost:postgresql"},
		{"https://joe:pw@shop7.acme.com:8443/a", "https://" + host + ":8443/a"}, {"unix:///run/x.sock", "unix:///run/x.sock"}, {"unix:/run/x.sock", "unix:/run/x.sock"},
		{"unix://@abstract", "unix://@abstract"}, {"10.1.2.3%eth0", four + "%eth0"},
	} {
		if got := r.Target(c.in); got != c.want {
			t.Errorf("%s became %s, want %s", c.in, got, c.want)
		}
	}
	if got := r.Target("http://10.1.2.3/?token=abc123"); strings.Contains(got, "abc123") {
		t.Errorf("a token stayed: %s", got)
	}
	if got := New(Secrets, nil).Target("http://10.1.2.3/?token=abc123"); strings.Contains(got, "abc123") || !strings.Contains(got, "10.1.2.3") {
		t.Errorf("level secrets: %s", got)
	}
	if got := New(None, nil).Target("http://10.1.2.3/?token=abc123"); got != "http://10.1.2.3/?token=abc123" {
		t.Errorf("level none: %s", got)
	}
}
