//go:build linux

package checks

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	ebpflink "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// answer is the part of a report that a sandboxed child is asked for.
type answer struct {
	Status    string
	Outcome   string
	RootCause struct {
		Code, Title, Confidence, Because string
	} `json:"root_cause"`
	Limits []host.Limit

	whole string
}

// askChild diagnoses in a child: this test again, as TestBindChild, with the
// rights and in the sandbox that are given.
func askChild(t *testing.T, target, sandbox string, attr *syscall.SysProcAttr) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^TestBindChild$") // its directory may be closed to the child
	cmd.Env = []string{"BIND_TARGET=" + target, "BIND_SANDBOX=" + sandbox}
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body, _, _ := strings.Cut(string(out), "\nPASS")
	a := answer{whole: body}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return a
}

// TestBindChild is the child of askChild.
func TestBindChild(t *testing.T) {
	target := os.Getenv("BIND_TARGET")
	if target == "" {
		t.Skip("is run by other tests")
	}
	if name := os.Getenv("BIND_SANDBOX"); name != "" {
		if err := enclose(filters[name]); err != nil {
			t.Fatal(err)
		}
	}
	r, err := report("", target, diagnose.Options{})
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString(text(r) + "\n")
}

// seccompData holds offsets of struct seccomp_data (linux/seccomp.h): the
// number, and the low halves of the arguments.
const (
	dataNumber = 0
	dataArg0   = 16
	dataArg2   = 32
)

// filters answer one system call with an error, if one argument fits.
var filters = map[string]struct{ number, arg, value, errno uint32 }{
	"socket-family":  {unix.SYS_SOCKET, dataArg0, unix.AF_INET6, uint32(unix.EAFNOSUPPORT)},
	"socket-denied":  {unix.SYS_SOCKET, dataArg0, unix.AF_INET, uint32(unix.EPERM)},
	"bind-eacces":    {unix.SYS_BIND, dataArg2, unix.SizeofSockaddrInet4, uint32(unix.EACCES)},
	"bind-eperm":     {unix.SYS_BIND, dataArg2, unix.SizeofSockaddrInet4, uint32(unix.EPERM)},
	"bind-eaddr":     {unix.SYS_BIND, dataArg2, unix.SizeofSockaddrInet4, uint32(unix.EADDRINUSE)},
	"bind-not-there": {unix.SYS_BIND, dataArg2, unix.SizeofSockaddrInet4, uint32(unix.EADDRNOTAVAIL)},
}

// enclose puts all threads of this process under a filter.
func enclose(f struct{ number, arg, value, errno uint32 }) error {
	stmt := func(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }
	jump := func(k uint32, jf uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: jf, K: k}
	}
	const load, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_RET | unix.BPF_K
	program := []unix.SockFilter{stmt(load, dataNumber), jump(f.number, 3), stmt(load, f.arg), jump(f.value, 1),
		stmt(ret, unix.SECCOMP_RET_ERRNO|f.errno), stmt(ret, unix.SECCOMP_RET_ALLOW)}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
		uintptr(unsafe.Pointer(&fprog))); errno != 0 {
		return errno
	}
	return nil
}

func TestBindSandboxed(t *testing.T) {
	for _, c := range []struct{ sandbox, target, status, code, confidence string }{
		{"socket-family", "[::1]:8080", "broken", "socket-denied-seccomp", "proven"},
		{"socket-family", "127.0.0.1:8080", "ok", "", ""},
		{"socket-denied", "127.0.0.1:8080", "broken", "socket-denied-seccomp", "proven"},
		{"bind-eacces", "127.0.0.1:8080", "unknown", "socket-denied-seccomp", "possible"},
		{"bind-eperm", "127.0.0.1:8080", "unknown", "socket-denied-seccomp", "possible"},
		// What nothing explains is not explained.
		{"bind-eaddr", "127.0.0.1:8080", "unknown", "", ""},
		{"bind-not-there", "127.0.0.1:8080", "unknown", "", ""},
	} {
		t.Run(c.sandbox+" "+c.target, func(t *testing.T) {
			inNewNamespace(t, func() {
				ip(t, "link set lo up")
				a := askChild(t, c.target, c.sandbox, nil)
				if a.Status != c.status || a.RootCause.Code != c.code || a.RootCause.Confidence != c.confidence {
					t.Errorf("%s %s %s, want %s %s %s\n%s", a.Status, a.RootCause.Code, a.RootCause.Confidence, c.status, c.code, c.confidence, a.whole)
				}
			})
		})
	}
}

// TestBindWithoutRights asks as nobody: who holds the port can't be seen, that
// it is held can.
func TestBindWithoutRights(t *testing.T) {
	inNewNamespace(t, func() {
		l := &lab{t: t}
		ip(t, "link set lo up")
		l.listen(tcp("127.0.0.1"), 8080)
		nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		a := askChild(t, "127.0.0.1:8080", "", nobody)
		if a.Status != "broken" || a.RootCause.Code != "port-owner-hidden" || a.RootCause.Confidence != "proven" || len(a.Limits) == 0 {
			t.Error(a.whole)
		}
		if a := askChild(t, "127.0.0.1:80", "", nobody); a.RootCause.Code != "port-privileged" || a.RootCause.Confidence != "proven" {
			t.Error(a.whole)
		}
		for _, fd := range l.fds {
			unix.Close(fd)
		}
	})
}

// TestBindAsRootOfAnotherNamespace: a root that is one in its user namespace
// only has no right to low ports of a network namespace that it was given.
func TestBindAsRootOfAnotherNamespace(t *testing.T) {
	inNewNamespace(t, func() {
		ip(t, "link set lo up")
		a := askChild(t, "127.0.0.1:80", "", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}})
		if a.Status != "broken" || a.RootCause.Code != "port-privileged" || a.RootCause.Confidence != "likely" {
			t.Error(a.whole)
		}
	})
}

// TestBindDeniedByProgram puts the child into a control group with a program
// that denies every bind.
func TestBindDeniedByProgram(t *testing.T) {
	root := unifiedHierarchy()
	if root == "" || os.Geteuid() != 0 {
		t.Skip("needs root and the unified hierarchy of control groups")
	}
	group := filepath.Join(root, fmt.Sprintf("h7-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skip(err)
	}
	defer os.Remove(group)
	dir, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []struct {
		name, target string
		attach       ebpf.AttachType
		kind         ebpf.ProgramType
		code         string
	}{
		{"bind4", "127.0.0.1:8080", ebpf.AttachCGroupInet4Bind, ebpf.CGroupSockAddr, "bind-denied-bpf"},
		{"bind6", "[::1]:8080", ebpf.AttachCGroupInet6Bind, ebpf.CGroupSockAddr, "bind-denied-bpf"},
		{"post_bind4", "127.0.0.1:8080", ebpf.AttachCGroupInet4PostBind, ebpf.CGroupSock, "bind-denied-bpf"},
		{"the other family", "[::1]:8080", ebpf.AttachCGroupInet4Bind, ebpf.CGroupSockAddr, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "h7_deny", Type: c.kind, AttachType: c.attach, License: "GPL",
				Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
			if err != nil {
				t.Skip(err)
			}
			defer prog.Close()
			attached, err := ebpflink.AttachCgroup(ebpflink.CgroupOptions{Path: group, Attach: c.attach, Program: prog})
			if err != nil {
				t.Skip(err)
			}
			defer attached.Close()
			inNewNamespace(t, func() {
				ip(t, "link set lo up")
				a := askChild(t, c.target, "", &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())})
				if a.RootCause.Code != c.code || c.code != "" && (a.RootCause.Confidence != "proven" || a.Outcome != "denied" || !strings.Contains(a.RootCause.Title, "h7_deny")) {
					t.Error(a.whole)
				}
			})
		})
	}
}

func unifiedHierarchy() string {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1]
		}
	}
	return ""
}

// TestBindHeldByTheKernel: a VXLAN device that is up has a UDP socket which no
// process holds.
func TestBindHeldByTheKernel(t *testing.T) {
	inNewNamespace(t, func() {
		ip(t, "link set lo up")
		if out, err := exec.Command("ip", "link", "add", "h7vx", "type", "vxlan", "id", "7", "dstport", "4789", "dev", "lo").CombinedOutput(); err != nil {
			t.Skipf("no VXLAN here: %s", out)
		}
		ip(t, "link set h7vx up")
		r := ask(t, "udp://0.0.0.0:4789", diagnose.Options{})
		if r.RootCause == nil || r.RootCause.Code != "port-kernel-owned" || !strings.Contains(r.RootCause.Title, "vxlan device h7vx") {
			t.Error(text(r))
		}
	})
}

func TestBindUnixPath(t *testing.T) {
	dir := t.TempDir()
	live, left := filepath.Join(dir, "live.sock"), filepath.Join(dir, "left.sock")
	inNewNamespace(t, func() {
		bind := func(path string, listen bool) int {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
			}
			if err == nil && listen {
				err = unix.Listen(fd, 1)
			}
			if err != nil {
				t.Fatal(err)
			}
			return fd
		}
		defer unix.Close(bind(live, true))
		defer unix.Close(bind("@h7-live", true))
		unix.Close(bind(left, false))
		for _, c := range []struct{ path, code, title string }{
			{live, "port-in-use", "listens on " + live},
			{"@h7-live", "port-in-use", "listens on @h7-live"},
			{left, "unix-socket-stale", "no socket has it"},
			{filepath.Join(dir, "none.sock"), "", ""},
			{"@h7-none", "", ""},
		} {
			r := ask(t, "unix:"+c.path, diagnose.Options{})
			code, title := "", ""
			if r.RootCause != nil {
				code, title = r.RootCause.Code, r.RootCause.Title
			}
			if code != c.code || !strings.Contains(title, c.title) {
				t.Errorf("%s: %s %s\n%s", c.path, code, title, text(r))
			}
		}
	})
}
