package host

import (
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	for _, test := range []struct{ in, name, value string }{
		{"PORT=8080", "PORT", "8080"},
		{"http_proxy=http://me:secret@proxy:3128/", "http_proxy", "http://proxy:3128/"},
		{"HTTPS_PROXY=me:sec/ret@proxy:3128", "HTTPS_PROXY", "proxy:3128"},
		{"no_proxy=localhost,.lan", "no_proxy", "localhost,.lan"},
		{"LISTEN_FDS=2", "LISTEN_FDS", "2"},
		{"GRPC_ADDR=[::]:50051", "GRPC_ADDR", "[::]:50051"},
		{"X_HOST=a,redis://u:p@b:1;c", "X_HOST", "a,redis://b:1;c"},
		{"DB_PASSWORD=hunter2", "", ""},
		{"HOME=/root", "", ""},
		{"PORT", "", ""},
		{"", "", ""},
		{"=x", "", ""},
		{strings.Repeat("A", 80) + "_PORT=1", "", ""},
		{"PORT=\xff", "PORT", `\xff`},
	} {
		name, value, ok := Environment(test.in)
		if name != test.name || value != test.value || ok != (test.name != "") {
			t.Errorf("Environment(%q) = %q, %q, %v; want %q, %q", test.in, name, value, ok, test.name, test.value)
		}
	}
}
