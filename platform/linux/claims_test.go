//go:build linux

package linux

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/config"
	"github.com/portwhy/portwhy/platform/host"
)

// configRoot makes a directory with configuration files; a text that starts
// with "->" is a link.
func configRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func showClaims(list []host.Claim) []string {
	var lines []string
	for _, c := range list {
		line := fmt.Sprintf("%s %s %s:%d %s:%d", c.Program, c.Unit, c.Network, c.Port, c.File, c.Line)
		if c.Disabled {
			line = "off " + line
		}
		lines = append(lines, line)
	}
	return lines
}

func TestClaimsTree(t *testing.T) {
	root := configRoot(t, map[string]string{
		"/etc/nginx/nginx.conf":                    "http { include sites-enabled/*; }",
		"/etc/nginx/sites-available/on":            "server { listen 8081; }",
		"/etc/nginx/sites-available/off":           "server { listen 8082; }",
		"/etc/nginx/sites-enabled/on":              "->../sites-available/on",
		"/etc/ssh/sshd_config":                     "Port 22\n",
		"/etc/postgresql/15/main/postgresql.conf":  "port = 5432\n",
		"/etc/postgresql/16/other/postgresql.conf": "port = 5433\n",
		"/opt/r.conf":                              "port 7000\n",
		"/etc/default/app":                         "PORT=7100\n",
		"/etc/squid/squid.conf/directory":          "",
		// Units: enabled, not enabled, static, masked, an alias, a template with an instance,
		// one that an earlier directory hides, a link out of the tree.
		"/usr/lib/systemd/system/on.service":                     "[Service]\nExecStart=/bin/on --port 1001\nEnvironmentFile=-/etc/default/app\n[Install]\nWantedBy=multi-user.target\n",
		"/etc/systemd/system/multi-user.target.wants/on.service": "->/usr/lib/systemd/system/on.service",
		"/usr/lib/systemd/system/off.socket":                     "[Socket]\nListenStream=1002\n[Install]\nWantedBy=sockets.target\n",
		"/usr/lib/systemd/system/static.socket":                  "[Socket]\nListenStream=1003\n",
		"/usr/lib/systemd/system/masked.socket":                  "[Socket]\nListenStream=1004\n",
		"/etc/systemd/system/masked.socket":                      "->/dev/null",
		"/usr/lib/systemd/system/named.service":                  "[Service]\nExecStart=/bin/named --port 1005\n[Install]\nAlias=other.service\n",
		"/etc/systemd/system/other.service":                      "->/usr/lib/systemd/system/named.service",
		"/usr/lib/systemd/system/t@.service":                     "[Service]\nExecStart=/bin/t --port %i\n[Install]\nWantedBy=x\n",
		"/etc/systemd/system/x.wants/t@1006.service":             "->/usr/lib/systemd/system/t@.service",
		"/etc/systemd/system/t@1006.service.d/e.conf":            "[Service]\nEnvironment=EXTRA_PORT=1007\n",
		"/usr/lib/systemd/system/hidden.socket":                  "[Socket]\nListenStream=1\n",
		"/etc/systemd/system/hidden.socket":                      "[Socket]\nListenStream=1008\n",
		"/etc/systemd/system/hidden.socket.d/x.conf":             "[Socket]\nListenStream=1009\n",
		"/usr/lib/systemd/system/hidden.socket.d/x.conf":         "[Socket]\nListenStream=2\n",
		"/run/systemd/system/redis.service":                      "[Service]\nExecStart=/usr/bin/redis-server /opt/r.conf\n",
		"/usr/lib/systemd/system/readme.txt":                     "ListenStream=3\n",
	})
	if err := unix.Mkfifo(filepath.Join(root, "/etc/nginx/sites-enabled/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "/etc/nginx/sites-enabled/huge"), make([]byte, maxConfigFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(root, "/etc/nginx/sites-enabled/zero")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc/kmsg", filepath.Join(root, "/etc/nginx/sites-enabled/kmsg")); err != nil {
		t.Fatal(err)
	}
	got, err := readClaims(context.Background(), root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"on on.service tcp:7100 /etc/default/app:1",
		"nginx nginx.service tcp:8081 /etc/nginx/sites-enabled/on:1",
		"off nginx nginx.service tcp:8082 /etc/nginx/sites-available/off:1",
		"postgresql postgresql@15-main.service tcp:5432 /etc/postgresql/15/main/postgresql.conf:1",
		"postgresql postgresql@16-other.service tcp:5433 /etc/postgresql/16/other/postgresql.conf:1",
		"sshd ssh.service tcp:22 /etc/ssh/sshd_config:1",
		"systemd hidden.socket tcp:1008 /etc/systemd/system/hidden.socket:2",
		"systemd hidden.socket tcp:1009 /etc/systemd/system/hidden.socket.d/x.conf:2",
		"t t@1006.service tcp:1007 /etc/systemd/system/t@1006.service.d/e.conf:2",
		"t t@1006.service tcp:1006 /usr/lib/systemd/system/t@.service:2",
		"off systemd masked.socket tcp:1004 /usr/lib/systemd/system/masked.socket:2",
		"named named.service tcp:1005 /usr/lib/systemd/system/named.service:2",
		"off systemd off.socket tcp:1002 /usr/lib/systemd/system/off.socket:2",
		"on on.service tcp:1001 /usr/lib/systemd/system/on.service:2",
		"systemd static.socket tcp:1003 /usr/lib/systemd/system/static.socket:2",
		"redis redis.service tcp:7000 /opt/r.conf:1",
	}
	slices.Sort(want)
	lines := showClaims(got.List)
	slices.Sort(lines)
	if !slices.Equal(lines, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(lines, "\n  "), strings.Join(want, "\n  "))
	}
	if !slices.IsSortedFunc(got.List, func(a, b host.Claim) int { return strings.Compare(a.File, b.File) }) {
		t.Error("not in order of files")
	}
	for _, c := range got.List {
		if c.Modified.IsZero() {
			t.Errorf("no time: %+v", c)
		}
	}
	// Without root even what kmsg is stays hidden, and that is said.
	for _, l := range got.Limits {
		if os.Geteuid() == 0 || !strings.HasSuffix(l.What, "kmsg") {
			t.Errorf("limit %+v", l)
		}
	}
}

func TestClaimsLimits(t *testing.T) {
	files := map[string]string{}
	for i := range maxConfigFiles + 10 {
		files[fmt.Sprintf("/etc/nginx/conf.d/%d.conf", i)] = "server { listen 80; }"
	}
	files["/etc/nginx/nginx.conf"] = "http { include conf.d/*.conf; }"
	got, err := readClaims(context.Background(), configRoot(t, files), t.TempDir())
	if err != nil || len(got.Limits) != 1 || !strings.Contains(got.Limits[0].Why, "2000 files") || len(got.List) < 1000 {
		t.Errorf("%d claims, %+v, %v", len(got.List), got.Limits, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := readClaims(ctx, t.TempDir(), "/proc"); err == nil {
		t.Error("a cancelled context is no error")
	}
	tree := &configTree{denied: 2, first: "/etc/redis/redis.conf"}
	if l := tree.limits(); len(l) != 1 || l[0].Needs != "root" || !strings.Contains(l[0].What, "2 configuration files") {
		t.Errorf("%+v", l)
	}
}

// TestClaimsDenied reads as another user: what is denied is counted, not fatal.
func TestClaimsDenied(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	root := configRoot(t, map[string]string{"/etc/redis/redis.conf": "port 1\n", "/etc/ssh/sshd_config": "Port 22\n"})
	for _, dir := range []string{root, filepath.Dir(root)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(root, "/etc/redis/redis.conf"), 0); err != nil {
		t.Fatal(err)
	}
	var got host.Claims
	onThreadOfItsOwn(func() {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			t.Errorf("setresuid: %v", errno)
			return
		}
		list := &configTree{root: root}
		if file, ok := list.read("/etc/ssh/sshd_config"); !ok || string(file.Data) != "Port 22\n" {
			t.Errorf("the readable file: %v", ok)
		}
		if _, ok := list.read("/etc/redis/redis.conf"); ok {
			t.Error("the file could be read")
		}
		got.Limits = list.limits()
	})
	if len(got.Limits) != 1 || !strings.Contains(got.Limits[0].What, "/etc/redis/redis.conf") {
		t.Errorf("%+v", got.Limits)
	}
}

// TestClaimsOfProcess has a running program name its configuration file.
func TestClaimsOfProcess(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "r.conf")
	if err := os.WriteFile(conf, []byte("Port 7123\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	startHelper(t, "sleep", func(cmd *exec.Cmd) {
		cmd.Args = []string{"sshd", "-test.run=^TestHelperProcess$", "--", "-f", "r.conf"}
		cmd.Dir = dir
	})
	found := processFiles(context.Background(), "/proc")
	if !slices.Contains(found, mainFile{kind: config.KindSSH, path: conf}) {
		t.Errorf("%s is not in %+v", conf, found)
	}
	got, err := readClaims(context.Background(), t.TempDir(), "/proc")
	if err != nil {
		t.Fatal(err)
	}
	// Below another root there is no such file.
	if len(got.List) != 0 {
		t.Errorf("%+v", got.List)
	}
}

func BenchmarkClaims(b *testing.B) {
	for b.Loop() {
		if _, err := readClaims(context.Background(), "", "/proc"); err != nil {
			b.Fatal(err)
		}
	}
}
