package checks

import (
	"net/netip"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

func TestSlip(t *testing.T) {
	for _, c := range []struct {
		asked, real uint16
		want        string
	}{
		{62893, 62983, "transposed digits"}, {8080, 8081, "a wrong digit"}, {8080, 8008, "transposed digits"}, {80, 8080, ""}, {3000, 3001, "a wrong digit"},
		{9999, 10000, "one off"}, {808, 8080, "a digit short"}, {54322, 5432, "a digit too many"}, {5432, 5433, "a wrong digit"}, {22, 23, "one off"}, {443, 8443, "a digit short"},
		{1000, 2111, ""},
	} {
		if got, _ := slip(c.asked, c.real); got != c.want {
			t.Errorf("slip(%d, %d) = %q, want %q", c.asked, c.real, got, c.want)
		}
	}
}

func TestExcepted(t *testing.T) {
	for _, c := range []struct {
		noProxy, name string
		addr          string
		want          bool
	}{
		{"", "localhost", "127.0.0.1", false},
		{"localhost,127.0.0.1", "localhost", "127.0.0.1", true},
		{"127.0.0.1", "localhost", "127.0.0.1", false},
		{"127.0.0.1", "127.0.0.1", "127.0.0.1", true},
		{"*", "x.example", "10.0.0.1", true},
		{".example", "x.example", "10.0.0.1", true},
		{"example", "x.example", "10.0.0.1", true},
		{"example", "badexample", "10.0.0.1", false},
		{"10.0.0.0/8", "10.1.2.3", "10.1.2.3", true},
		{"[::1]", "::1", "::1", true},
	} {
		if got := excepted(c.noProxy, c.name, netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("no_proxy=%q excepts %s (%s): %v, want %v", c.noProxy, c.name, c.addr, got, c.want)
		}
	}
}

func TestBackendOf(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"docker-proxy", []string{"docker-proxy", "-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", "80", "-container-ip", "172.17.0.2", "-container-port", "8080"}, "172.17.0.2:8080"},
		{"docker-proxy", []string{"docker-proxy", "-container-ip"}, ""},
		{"socat", []string{"socat", "TCP-LISTEN:80,fork", "TCP:10.0.0.1:81,retry=2"}, "10.0.0.1:81"},
		{"socat", []string{"socat", "-v", "TCP-LISTEN:80", "tcp6:[::1]:81"}, "[::1]:81"},
		{"socat", []string{"socat", "TCP-LISTEN:80", "TCP:localhost:81"}, "127.0.0.1:81"},
		{"socat", []string{"socat", "TCP-LISTEN:80", "EXEC:cat"}, ""},
		{"socat", []string{"socat", "TCP-LISTEN:80", "TCP:nohost:81"}, ""},
		{"nginx", []string{"nginx"}, ""},
	} {
		got := backendOf(host.Process{Name: c.name, Args: c.args})
		if got.IsValid() != (c.want != "") || got.IsValid() && got.String() != c.want {
			t.Errorf("%v: %v, want %q", c.args, got, c.want)
		}
	}
}

func TestPortSet(t *testing.T) {
	set := parsePortSet("8080,9000-9002 7\n,x,5-,70000,3-1")
	for port, want := range map[uint16]bool{8080: true, 9000: true, 9001: true, 9002: true, 9003: false, 7: true, 5: false, 2: false} {
		if set.has(port) != want {
			t.Errorf("has(%d) = %v", port, !want)
		}
	}
}

func TestDisplayName(t *testing.T) {
	for _, c := range []struct {
		p    host.Process
		want string
	}{
		{host.Process{Name: "nginx", Args: []string{"nginx: master process"}}, "nginx"},
		{host.Process{Name: "python3", Args: []string{"python3", "-m", "http.server", "80"}}, "python3 -m http.server"},
		{host.Process{Name: "node", Args: []string{"node", "--inspect", "/srv/app.js"}}, "node app.js"},
		{host.Process{Name: "python3", Args: []string{"python3", "-c", "import x\nprint()"}}, "python3"},
		{host.Process{Name: "sleep", Args: []string{"sleep", "1"}}, "sleep"},
	} {
		if got := displayName(c.p); got != c.want {
			t.Errorf("%v: %q, want %q", c.p.Args, got, c.want)
		}
	}
}
