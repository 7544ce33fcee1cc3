//go:build linux

package linux

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

func TestSysctlPath(t *testing.T) {
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":                  "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":                  "net/ipv4/ip_forward",
		"/net/ipv4/ip_forward":                 "net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/100.rp_filter":     "net/ipv4/conf/eth0.100/rp_filter",
		"net/ipv4/conf/eth0.100/rp_filter":     "net/ipv4/conf/eth0.100/rp_filter",
		"vm/../../../etc/shadow":               "",
		"net.ipv4.//.x":                        "",
		"..":                                   "",
		"../../etc/passwd":                     "",
		"":                                     "",
		"/":                                    "",
		"net.\x00":                             "",
		strings.Repeat("a", 513):               "",
		"kernel/./x":                           "",
		"net.ipv4.conf.//.//.//etc.passwd":     "",
		"net.ipv4.conf.all.rp_filter.and.more": "net/ipv4/conf/all/rp_filter/and/more",
	} {
		got, ok := sysctlPath(key)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", key, got, ok, want)
		}
	}
}

func TestSysctlFiles(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, path string) {
		t.Helper()
		write(path+".made", "")
		if err := os.Symlink(target, filepath.Join(root, path)); err != nil {
			t.Fatal(err)
		}
	}
	write("usr/lib/sysctl.d/50-default.conf", `
# Source route verification
net.ipv4.conf.default.rp_filter = 2
net.ipv4.conf.*.rp_filter = 2
-net.ipv4.conf.all.rp_filter
net.ipv4.tcp_rmem=4096	131072   6291456
kernel.core_pattern=|/bin/x %P=%u
net.ipv4.conf.*.accept_redirects=0
net.ipv4.conf.[!e]*.send_redirects=0
`)
	write("usr/lib/sysctl.d/60-hidden.conf", "net.core.somaxconn = 1\n")
	write("run/sysctl.d/60-hidden.conf", "net.core.somaxconn = 2\n")
	write("usr/lib/sysctl.d/61-masked.conf", "net.core.optmem_max = 1\n")
	link("/dev/null", "etc/sysctl.d/61-masked.conf")
	write("etc/sysctl.d/10-forward.conf", "net/ipv4/ip_forward = 1\n; net.ipv4.ip_forward = 7\n")
	write("etc/sysctl.d/90-forward.conf", "net.ipv4.ip_forward = 1\n\n- net.ipv4.ip_forward = 0\nno value here\n=5\n")
	write("etc/sysctl.d/95-vlan.conf", "net.ipv4.conf.eth0/100.rp_filter = 0\nnet.ipv4.conf.eth1.accept_redirects = 1")
	write("etc/sysctl.d/notes.txt", "net.ipv4.ip_forward = 9\n")
	write("etc/sysctl.conf", "net.ipv4.ip_local_port_range = 1024 65000\n")
	link(filepath.Join(root, "etc/sysctl.conf"), "etc/sysctl.d/99-sysctl.conf")
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := readSysctlFiles(root)
	for key, want := range map[string]foundSysctl{
		"net/ipv4/ip_forward":                 {"/etc/sysctl.d/90-forward.conf", 3, "0"},
		"net/ipv4/conf/default/rp_filter":     {"/usr/lib/sysctl.d/50-default.conf", 3, "2"},
		"net/ipv4/conf/eth7/rp_filter":        {"/usr/lib/sysctl.d/50-default.conf", 4, "2"},
		"net/ipv4/conf/eth0.100/rp_filter":    {"/etc/sysctl.d/95-vlan.conf", 1, "0"},
		"net/ipv4/conf/all/rp_filter":         {},
		"net/ipv4/conf/eth1/accept_redirects": {"/etc/sysctl.d/95-vlan.conf", 2, "1"},
		"net/ipv4/conf/lo/accept_redirects":   {"/usr/lib/sysctl.d/50-default.conf", 8, "0"},
		"net/ipv4/conf/lo/send_redirects":     {"/usr/lib/sysctl.d/50-default.conf", 9, "0"},
		"net/ipv4/conf/eth0/send_redirects":   {},
		"net/ipv4/tcp_rmem":                   {"/usr/lib/sysctl.d/50-default.conf", 6, "4096 131072 6291456"},
		"kernel/core_pattern":                 {"/usr/lib/sysctl.d/50-default.conf", 7, "|/bin/x %P=%u"},
		"net/core/somaxconn":                  {"/run/sysctl.d/60-hidden.conf", 1, "2"},
		"net/core/optmem_max":                 {},
		"net/ipv4/ip_local_port_range":        {"/etc/sysctl.conf", 1, "1024 65000"},
		"net/ipv4/nothing":                    {},
	} {
		got, ok := files.find(key)
		if !ok {
			got = foundSysctl{}
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", key, got, want)
		}
	}
	// Without systemd the old file is read last, link or not.
	if err := os.RemoveAll(filepath.Join(root, "run/systemd")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "etc/sysctl.d/99-sysctl.conf")); err != nil {
		t.Fatal(err)
	}
	if got, _ := readSysctlFiles(root).find("net/ipv4/ip_local_port_range"); got.file != "/etc/sysctl.conf" {
		t.Errorf("without systemd: %+v", got)
	}
}

func TestSysctlLive(t *testing.T) {
	_, h := labNetNS(t, "sysctl")
	own, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := own.Sysctl(t.Context(), "net.ipv4.ip_unprivileged_port_start")
	if err != nil {
		t.Fatal(err)
	}
	err = h.inNamespace(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("77"), 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := h.Sysctl(t.Context(), "net.ipv4.ip_unprivileged_port_start"); err != nil || s.Value != "77" || s.File != "" {
		t.Errorf("within: %+v, %v", s, err)
	}
	if s, err := own.Sysctl(t.Context(), "net.ipv4.ip_unprivileged_port_start"); err != nil || s.Value != before.Value {
		t.Errorf("outside: %+v, %v, was %+v", s, err, before)
	}
	if s, err := h.Sysctl(t.Context(), "net.ipv4.tcp_rmem"); err != nil || strings.ContainsAny(s.Value, "\t\n") || len(strings.Split(s.Value, " ")) != 3 {
		t.Errorf("three numbers: %+v, %v", s, err)
	}
	for _, key := range []string{"net.ipv4.no_such", "net.ipv4.conf.nodevice.rp_filter", "../../etc/passwd", "net.ipv4"} {
		s, err := h.Sysctl(t.Context(), key)
		if key == "net.ipv4" && err != nil {
			continue // a directory: any error will do
		}
		if !errors.Is(err, host.ErrUnsupported) {
			t.Errorf("%s: %+v, %v", key, s, err)
		}
	}
	if _, err := h.Sysctl(t.Context(), "net.ipv4.route.flush"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("what can only be written: %v", err)
	}
}

func FuzzSysctl(f *testing.F) {
	f.Add([]byte("net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n# x\n"), "net.ipv4.conf.lo.rp_filter")
	f.Add([]byte("-net/ipv4/conf/[!e]/x=1"), "net/ipv4/conf/a/x")
	f.Fuzz(func(t *testing.T, b []byte, key string) {
		path, ok := sysctlPath(key)
		if ok && !filepath.IsLocal(path) {
			t.Errorf("%q leads to %q", key, path)
		}
		for _, s := range parseSysctl(b) {
			if !filepath.IsLocal(s.path) {
				t.Errorf("a line sets %q", s.path)
			}
		}
		sysctlFiles{{"x", parseSysctl(b)}}.find(path)
	})
}
