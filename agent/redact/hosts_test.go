package redact

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestHostsInTexts(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"redis://u:p@cache7:6379/0", "cache7"}, {"http://a7.acme.com/x,https://b7/", "a7 acme b7"}, {"server_name shop7.acme.com;", "acme shop7"},
		{"host=db7 port=5432", "db7"}, {"--db-host=db7.acme.corp", "acme db7"}, {"Host: shop7.acme.com", "acme shop7"}, {"mail joe7@acme.com", "acme joe7"},
		{"getty@tty1.service", ""}, {"npm left@1.2.3 image@sha256:0123", ""}, {"/usr/bin/app.py --x index.html net.ipv4.ip_forward", ""}, {"/var/www/acme.com/x", "acme"},
		{"http://10.0.0.1:80/ http://[::1]/ http://localhost/", ""}, {"host = ", ""}, {"", ""}, {"://://", ""},
	} {
		n := newNames(make([]byte, KeySize))
		n.seeHosts(c.in)
		if got := strings.Join(slices.Sorted(maps.Keys(n.kinds)), " "); got != c.want {
			t.Errorf("%q names %q, want %q", c.in, got, c.want)
		}
	}
	r := testRedactor()
	w := walker{Redactor: r, mode: seeing}
	w.argv([]string{"psql", "--host", "db7", "-p", "5432"})
	if _, ok := r.names.kinds["db7"]; !ok {
		t.Error("--host db7 names no host")
	}
}
