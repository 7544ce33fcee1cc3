//go:build linux

package linux

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/portwhy/portwhy/platform/host"
)

const goodStat = "4242 (nginx) S 1 4242 4242 0 -1 4194560 1234 0 0 0 5 6 0 0 20 0 1 0 98765 1000 200 18446744073709551615 1 1 0 0 0 0 0 16781312 0 0 0 0 17 1 0 0 0 0 0\n"

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     stat
		bad      bool
	}{
		{"plain", goodStat, stat{comm: "nginx", state: "S", ppid: 1, start: 98765}, false},
		{"name is a fake line", strings.Replace(goodStat, "nginx", "x) R 7 7 7 (y\n", 1), stat{comm: "x) R 7 7 7 (y\n", state: "S", ppid: 1, start: 98765}, false},
		{"kernel thread", strings.Replace(goodStat, "4194560", "69238880", 1), stat{comm: "nginx", state: "S", ppid: 1, start: 98765, kernelThread: true}, false},
		{"empty", "", stat{}, true},
		{"no name", "4242 nginx S 1", stat{}, true},
		{"parentheses in the wrong order", "1 )x( S 1", stat{}, true},
		{"cut", goodStat[:40], stat{}, true},
		{"bad state", strings.Replace(goodStat, ") S ", ") SS ", 1), stat{}, true},
		{"bad parent", strings.Replace(goodStat, ") S 1 ", ") S one ", 1), stat{}, true},
		{"bad flags", strings.Replace(goodStat, "4194560", "-1", 1), stat{}, true},
		{"bad start", strings.Replace(goodStat, "98765", "soon", 1), stat{}, true},
	} {
		got, err := parseStat([]byte(c.in))
		if c.bad != (err != nil) || !c.bad && got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v, error %v", c.name, got, err, c.want, c.bad)
		}
		if c.bad && !errors.Is(err, errProcFormat) {
			t.Errorf("%s: error %v is not errProcFormat", c.name, err)
		}
	}
}

const goodStatus = "Name:\tx\\nUid:\t5\t5\t5\t5\nState:\tS (sleeping)\nTracerPid:\t7\nUid:\t1000\t1001\t1002\t1003\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\n"

func TestParseStatus(t *testing.T) {
	got, err := parseStatus([]byte(goodStatus))
	want := status{uid: 1001, tracer: 7, seccomp: 2, noNewPrivs: true, capEff: 0x1ffffffffff}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range [][2]string{
		{"Uid:\t1000\t1001", "Uid:\t1000"}, {"\t1001\t", "\t-1\t"}, {"Uid:\t1000", "Gid:\t1000"}, {"TracerPid:\t7", "TracerPid:\tx"},
		{"Seccomp:\t2", "Seccomp:\tstrict"}, {"CapEff:\t0", "CapEff:\tz"}, {"\t1001\t", "\t4294967296\t"},
	} {
		in := strings.Replace(goodStatus, bad[0], bad[1], 1)
		if _, err := parseStatus([]byte(in)); !errors.Is(err, errProcFormat) {
			t.Errorf("%q: error %v, want errProcFormat", bad[1], err)
		}
	}
}

func TestParseCmdline(t *testing.T) {
	for in, want := range map[string][]string{
		"":                                         nil,
		"\x00\x00":                                 nil,
		"nginx\x00-g\x00daemon off;\x00":           {"nginx", "-g", "daemon off;"},
		"nginx: worker process\x00\x00\x00\x00":    {"nginx: worker process"},
		"a\x00\x00b\x00":                           {"a", "", "b"},
		"a\xff\x00\x1b[2J\x00":                     {`a\xff`, "\x1b[2J"},
		"cut in the middle of an argum":            {"cut in the middle of an argum"},
		strings.Repeat("x\x00", 2*argsMax):         slices.Repeat([]string{"x"}, argsMax),
		strings.Repeat("y", 5000) + "\x00tail\x00": {strings.Repeat("y", 4096) + "…", "tail"},
	} {
		if got := parseCmdline([]byte(in)); !slices.Equal(got, want) {
			t.Errorf("%.40q: got %.80q, want %.80q", in, got, want)
		}
	}
}

func TestParseFDLimit(t *testing.T) {
	const table = "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n"
	for _, c := range []struct {
		in         string
		soft, hard uint64
		bad        bool
	}{
		{table, 1024, 524288, false},
		{strings.Replace(table, "1024  ", "unlimited", 1), math.MaxUint64, 524288, false},
		{strings.Replace(table, "1024  ", "many", 1), 0, 0, true},
		{strings.Replace(table, "524288", "many", 1), 0, 0, true},
		{"Max open files\n", 0, 0, true},
		{"", 0, 0, true},
	} {
		soft, hard, err := parseFDLimit([]byte(c.in))
		if soft != c.soft || hard != c.hard || c.bad != (err != nil) {
			t.Errorf("%.60q: got %d, %d, %v; want %d, %d, error %v", c.in, soft, hard, err, c.soft, c.hard, c.bad)
		}
	}
}

func TestParsePasswd(t *testing.T) {
	names, uids, err := parsePasswd(strings.NewReader("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n#c:x:1:1\n+nis:x:2:2\n-no:x:3:3\nshort:x\nbad:x:y:1\n:x:5:5\nbig:x:4294967296:1\nroot:x:9:9\nw\xff:x:33:33:www:/:\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]uint32{"root": 0, "toor": 0, "w\xff": 33}; !reflect.DeepEqual(names, want) {
		t.Errorf("names %v, want %v", names, want)
	}
	if want := map[uint32]string{0: "root", 9: "root", 33: `w\xff`}; !reflect.DeepEqual(uids, want) {
		t.Errorf("numbers %v, want %v", uids, want)
	}
}

func TestUser(t *testing.T) {
	h := openHost(t)
	for name, want := range map[string]uint32{"root": 0, "0": 0, "4242424": 4242424} {
		if got, err := h.User(t.Context(), name); err != nil || got != want {
			t.Errorf("user %q: %d, %v; want %d", name, got, err, want)
		}
	}
	for _, bad := range []string{"no-such-user", "", "-1", "4294967295", "99999999999"} {
		if _, err := h.User(t.Context(), bad); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("user %q: %v, want ErrNotFound", bad, err)
		}
	}
}

func TestSocketInode(t *testing.T) {
	for in, want := range map[string]uint64{"socket:[4242]": 4242, "socket:[]": 0, "socket:[x]": 0, "socket:[1": 0, "pipe:[1]": 0, "": 0,
		"socket:[99999999999999999999999]": 0, "/tmp/socket:[1]": 0} {
		if got, ok := socketInode([]byte(in)); got != want && ok || ok != (want != 0) {
			t.Errorf("%q: %d %v, want %d", in, got, ok, want)
		}
	}
}

func TestMayAsk(t *testing.T) {
	const release = "6.1.0"
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	var config bytes.Buffer
	z := gzip.NewWriter(&config)
	z.Write([]byte("CONFIG_INET_DIAG=y\nCONFIG_INET_TCP_DIAG=y\nCONFIG_INET_UDP_DIAG=m\n"))
	z.Close()
	for _, c := range []struct {
		name   string
		root   fstest.MapFS
		module string
		want   bool
	}{
		{"kernel without modules", fstest.MapFS{"proc/version": file("Linux")}, "tcp_diag", true},
		{"nothing to be seen", fstest.MapFS{}, "tcp_diag", false},
		{"modules disabled", fstest.MapFS{"proc/modules": file(""), "proc/sys/kernel/modules_disabled": file("1\n")}, "tcp_diag", true},
		{"no modprobe", fstest.MapFS{"proc/modules": file(""), "proc/sys/kernel/modprobe": file("\n")}, "tcp_diag", true},
		{"loaded", fstest.MapFS{"proc/modules": file(""), "sys/module/tcp_diag/refcnt": file("0")}, "tcp_diag", true},
		{"built in", fstest.MapFS{"proc/modules": file(""), "lib/modules/6.1.0/modules.builtin": file("kernel/net/ipv4/tcp_diag.ko\n")}, "tcp_diag", true},
		{"not loaded", fstest.MapFS{"proc/modules": file(""), "lib/modules/6.1.0/modules.builtin": file("kernel/net/ipv4/tcp_bic.ko\n"), "proc/kallsyms": file("0 t tcp_diag_dump\n")}, "tcp_diag", false},
		{"other kernel's files", fstest.MapFS{"proc/modules": file(""), "lib/modules/6.2.0/modules.builtin": file("kernel/net/ipv4/tcp_diag.ko\n")}, "tcp_diag", false},
		{"configuration says built in", fstest.MapFS{"proc/modules": file(""), "proc/config.gz": file(config.String())}, "tcp_diag", true},
		{"configuration says module", fstest.MapFS{"proc/modules": file(""), "proc/config.gz": file(config.String())}, "udp_diag", false},
		{"configuration in /boot", fstest.MapFS{"proc/modules": file(""), "boot/config-6.1.0": file("CONFIG_UNIX_DIAG=y\n")}, "unix_diag", true},
		{"broken configuration", fstest.MapFS{"proc/modules": file(""), "proc/config.gz": file("x")}, "tcp_diag", false},
		{"symbols", fstest.MapFS{"proc/modules": file(""), "proc/kallsyms": file("0000 T other\n0000 t tcp_diag_dump\t[tcp_diag]\n")}, "tcp_diag", true},
		{"no such symbol", fstest.MapFS{"proc/modules": file(""), "proc/kallsyms": file("0000 t tcp_diag_dump_one\n")}, "tcp_diag", false},
	} {
		if got := mayAsk(c.root, release, c.module); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTellsBound(t *testing.T) {
	for release, want := range map[string]bool{"6.8.0-31-generic": true, "6.18.44": true, "7.0": true, "6.7.12": false, "5.15.0": false, "6.8-rc1": true, "": false, "x.y": false, "6": false} {
		if got := tellsBound(release); got != want {
			t.Errorf("%q: %v, want %v", release, got, want)
		}
	}
}

func TestParseInfo(t *testing.T) {
	for in, want := range map[string]string{"NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n": "Debian GNU/Linux 12", "PRETTY_NAME='A'": "A", "PRETTY_NAME=B": "B", "PRETTY_NAME=\"": "\"", "NAME=x": "", "": ""} {
		if got := parseOSRelease([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"none [integrity] confidentiality\n": "integrity", "[none]": "none", "": "", "[": ""} {
		if got := parseLockdown([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := capabilityNames(1<<0 | 1<<12 | 1<<40 | 1<<63); !slices.Equal(got, []string{"CAP_CHOWN", "CAP_NET_ADMIN", "CAP_CHECKPOINT_RESTORE", "CAP_63"}) {
		t.Errorf("capabilities %v", got)
	}
	for in, want := range map[string]bool{
		"22 1 0:21 / /proc rw,nosuid - proc proc rw,hidepid=invisible\n": true,
		"22 1 0:21 / /proc rw - proc proc rw,hidepid=2\n":                true,
		"22 1 0:21 / /proc rw - proc proc rw\n":                          false,
		"22 1 0:21 / /mnt/proc rw - proc proc rw,hidepid=2\n":            false,
	} {
		if got := hidesProcesses([]byte(in)); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

func TestInfo(t *testing.T) {
	info, err := openHost(t).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.OS != "linux" || info.Kernel == "" || info.Hostname == "" || info.NetNS == 0 || info.UserNS == 0 || info.Boot.IsZero() || !info.Boot.Before(info.At) || info.Cgroup == "" {
		t.Errorf("%+v", info)
	}
}

// FuzzProcFiles feeds every parser of a file of /proc.
func FuzzProcFiles(f *testing.F) {
	f.Add([]byte(goodStat))
	f.Add([]byte(goodStatus))
	f.Add([]byte("0::/system.slice/docker-" + testID + ".scope\n"))
	f.Add([]byte("30 1 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"))
	f.Add([]byte("Max open files 1 2 files\nPORT=1\x00http_proxy=http://u:p@h\x00"))
	f.Add([]byte("root:x:0:0::/:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStat(b); err == nil && (!utf8.ValidString(s.comm) || s.state == "") {
			t.Errorf("stat %q: %+v", b, s)
		}
		if _, err := parseStatus(b); err != nil && !errors.Is(err, errProcFormat) {
			t.Errorf("status %q: %v", b, err)
		}
		for _, arg := range parseCmdline(b) {
			if !utf8.ValidString(arg) {
				t.Errorf("cmdline %q: %q", b, arg)
			}
		}
		m := parseMembership(b)
		if !utf8.ValidString(m.path+m.unit+m.userUnit+m.freezer) || m.container != "" && !isContainerID(m.container) {
			t.Errorf("cgroup %q: %+v", b, m)
		}
		for _, mount := range parseCgroupMounts(b).v1 {
			mount.dir("/x")
		}
		containerOfMounts(b)
		_, _, _ = parseFDLimit(b)
		parseEnviron(b)
		parseNumbers(b)
		parseOSRelease(b)
		parseLockdown(b)
		hidesProcesses(b)
		parsePasswd(bytes.NewReader(b))
		bracketed(b)
		socketInode(b)
		leadingNumber(b)
	})
}
