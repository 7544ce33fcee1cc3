//go:build linux

package linux

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// TestProcessesVanish looks while processes come and go.
func TestProcessesVanish(t *testing.T) {
	h := openHost(t)
	_, _, inode := listenTCP(t)
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			if cmd := exec.Command("true"); cmd.Run() == nil {
				n++
			}
		}
	}()
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		got, err := h.Holders(t.Context(), host.HolderQuery{Inodes: []uint64{inode}, Every: true})
		if err != nil {
			t.Error(err)
		}
		// A child that is about to run another program holds it, too, for a moment.
		if held := got.BySocket[inode]; !slices.ContainsFunc(held, func(x host.Holder) bool { return x.PID == os.Getpid() }) {
			t.Errorf("holders %v, want this process", held)
		}
		list, err := h.Processes(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, p := range list {
			if p.Name == "" || p.State == "" {
				t.Errorf("process without name or state: %+v", p)
			}
		}
	}
	close(stop)
	t.Logf("%d processes came and went", <-done)
}

func TestProcessGone(t *testing.T) {
	h := openHost(t)
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{cmd.Process.Pid, 0, -1, 1 << 30} {
		if _, err := h.Process(t.Context(), pid); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("process %d: %v, want ErrNotFound", pid, err)
		}
		if _, err := h.SocketOptions(t.Context(), pid, 0); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("socket of process %d: %v, want ErrNotFound", pid, err)
		}
	}
}

// TestProcDirStays: what was opened of one process never tells of another.
func TestProcDirStays(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d, err := openProc(cmd.Process.Pid, make([]byte, procBuffer))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := d.read("stat", statMax); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := d.read("stat", statMax); !errors.Is(gone(d.pid, err), host.ErrNotFound) {
		t.Errorf("stat of an ended process: %v", err)
	}
	if d.link("exe") != "" || d.descriptors() != -1 || d.namespace("net") != 0 {
		t.Error("an ended process still tells of itself")
	}
}

func TestProcessHostileName(t *testing.T) {
	h := openHost(t)
	for _, name := range []string{"x) S 1 1 1 (y", "a\nUid:\t0\t0", "\x1b]0;x\a", "\xff\xfe", ") ", "(("} {
		cmd, _ := startHelper(t, "comm", func(c *exec.Cmd) {
			c.Env = append(c.Env, "PORTWHY_TEST_COMM="+name, "PORT=8080", "SECRET_TOKEN=hush", "http_proxy=http://u:p@proxy:3128")
			c.Args = []string{"\x1b[2J" + name, "-test.run=^TestHelperProcess$"}
		})
		p, err := h.Process(t.Context(), cmd.Process.Pid)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if p.Name != host.Clean([]byte(name), commMax) || p.PPID != os.Getpid() || p.UID != uint32(os.Geteuid()) {
			t.Errorf("%q: name %q, parent %d, uid %d", name, p.Name, p.PPID, p.UID)
		}
		if since := time.Since(p.Started); since < -time.Second || since > 30*time.Second {
			t.Errorf("%q: started %v ago", name, since)
		}
		if len(p.Args) != 2 || p.Args[1] != "-test.run=^TestHelperProcess$" {
			t.Errorf("%q: arguments %q", name, p.Args)
		}
		if p.Env["PORT"] != "8080" || p.Env["http_proxy"] != "http://proxy:3128" || strings.Contains(fmt.Sprint(p.Env), "hush") {
			t.Errorf("%q: environment %q", name, p.Env)
		}
		if p.FDs < 3 || p.FDLimit == 0 || p.NetNS != h.netns || p.Exe == "" || p.Cwd == "" || p.UserNS == 0 {
			t.Errorf("%q: %+v", name, p)
		}
	}
}

// TestProcessUser: a process that may not be dumped has files of root's, but it
// is not root's.
func TestProcessUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	h := openHost(t)
	cmd, _ := startHelper(t, "undumpable", func(c *exec.Cmd) {
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	p, err := h.Process(t.Context(), cmd.Process.Pid)
	if err != nil || p.UID != 65534 {
		t.Errorf("uid %d, want 65534: %v", p.UID, err)
	}
	list, err := h.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.PID == cmd.Process.Pid && p.UID != 65534 {
			t.Errorf("in the list: uid %d, want 65534", p.UID)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid), &st); err != nil || st.Uid != 0 {
		t.Errorf("its files belong to %d, want 0, else this proves nothing: %v", st.Uid, err)
	}
}
