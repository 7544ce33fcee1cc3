//go:build linux

package linux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// TestHelperProcess is no test: it is what startHelper runs as another process.
func TestHelperProcess(t *testing.T) {
	switch os.Getenv("PORTWHY_TEST_HELPER") {
	case "":
		t.Skip("only as a process of another test")
	case "comm": // takes the name that it is given
		if err := os.WriteFile("/proc/self/comm", []byte(os.Getenv("PORTWHY_TEST_COMM")), 0); err != nil {
			t.Fatal(err)
		}
	case "undumpable":
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	case "limited": // tells what it can see
		tellLimited()
	}
	fmt.Println("ready")
	var b [1]byte
	os.Stdin.Read(b[:])
}

// startHelper runs this test binary as another process and waits until it is
// ready; it ends with the test.
func startHelper(t testing.TB, mode string, change func(*exec.Cmd)) (*exec.Cmd, []string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), "PORTWHY_TEST_HELPER="+mode, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	if change != nil {
		change(cmd)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	var told []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			return cmd, told
		}
		told = append(told, lines.Text())
	}
	t.Fatalf("the helper ended early: %q", told)
	return nil, nil
}

func listenTCP(t testing.TB) (*net.TCPListener, uint16, uint64) {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var inode uint64
	if err := raw.Control(func(fd uintptr) { inode = inodeOfFD(t, int(fd)) }); err != nil {
		t.Fatal(err)
	}
	return l, uint16(l.Addr().(*net.TCPAddr).Port), inode
}

func TestHoldersInherited(t *testing.T) {
	h := openHost(t)
	l, _, inode := listenTCP(t)
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child, _ := startHelper(t, "hold", func(c *exec.Cmd) { c.ExtraFiles = []*os.File{file} })

	for _, every := range []bool{false, true} {
		got, err := h.Holders(t.Context(), host.HolderQuery{Inodes: []uint64{inode, 0}, Every: every})
		if err != nil {
			t.Fatal(err)
		}
		var holders []int
		for _, holder := range got.BySocket[inode] {
			holders = append(holders, holder.PID)
			p, err := h.Process(t.Context(), holder.PID)
			if err != nil || p.StartTicks != holder.StartTicks {
				t.Errorf("process %d started at %d, holder at %d: %v", holder.PID, p.StartTicks, holder.StartTicks, err)
			}
		}
		// Here by its own descriptor and by file's.
		if want := []int{os.Getpid(), os.Getpid(), child.Process.Pid}; !slices.Equal(holders, want) {
			t.Errorf("every=%v: holders %v, want %v", every, holders, want)
		}
		if len(got.BySocket) != 1 {
			t.Errorf("every=%v: %d sockets, want 1", every, len(got.BySocket))
		}
	}
	all, err := h.Holders(t.Context(), host.HolderQuery{})
	if err != nil || len(all.BySocket[inode]) != 3 {
		t.Errorf("in all sockets: %v %v", all.BySocket[inode], err)
	}
	none, err := h.Holders(t.Context(), host.HolderQuery{Inodes: []uint64{1<<32 - 2}})
	if err != nil || len(none.BySocket) != 0 {
		t.Errorf("a socket that is not there: %v %v", none.BySocket, err)
	}
}

func TestHoldersCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openHost(t).Holders(ctx, host.HolderQuery{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

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
		if held := got.BySocket[inode]; len(held) == 0 || held[0].PID != os.Getpid() {
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

// tellLimited prints what a user without rights sees of its parent.
func tellLimited() {
	h, err := Open(Options{})
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	ctx := context.Background()
	port, _ := strconv.Atoi(os.Getenv("PORTWHY_TEST_PORT"))
	list, err := h.Sockets(ctx, host.SocketQuery{Network: "tcp", Port: uint16(port), States: []host.State{host.Listen}})
	if err != nil || len(list) != 1 {
		fmt.Println("sockets:", list, err)
		return
	}
	for _, every := range []bool{false, true} {
		held, err := h.Holders(ctx, host.HolderQuery{Inodes: []uint64{list[0].Inode}, Every: every})
		if err != nil || len(held.BySocket) != 0 || held.Unreadable == 0 {
			fmt.Println("holders:", held, err)
		}
	}
	p, err := h.Process(ctx, os.Getppid())
	if err != nil || p.Name == "" || len(p.Args) == 0 || p.UID != 0 || p.FDs != -1 || p.NetNS != 0 || p.Exe != "" || len(p.Env) != 0 {
		fmt.Printf("process: %+v %v\n", p, err)
	}
	if _, err := h.SocketOptions(ctx, os.Getppid(), 3); !errors.Is(err, os.ErrPermission) {
		fmt.Println("options:", err)
	}
	info, err := h.Info(ctx)
	if err != nil || info.Privileged || info.UID != 65534 || len(info.Limits) == 0 || len(info.Capabilities) != 0 {
		fmt.Printf("info: %+v %v\n", info, err)
	}
	if _, err := Open(Options{NetNS: strconv.Itoa(os.Getppid())}); !errors.Is(err, os.ErrPermission) {
		fmt.Println("other namespace:", err)
	}
}

func TestWithoutRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	_, port, _ := listenTCP(t)
	_, told := startHelper(t, "limited", func(c *exec.Cmd) {
		c.Env = append(c.Env, "PORTWHY_TEST_PORT="+strconv.Itoa(int(port)))
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	if len(told) != 0 {
		t.Errorf("as uid 65534: %s", strings.Join(told, "\n"))
	}
}

// makeCgroup makes a control group with one process in it.
func makeCgroup(t *testing.T, top, group string, pid int) string {
	t.Helper()
	dir := filepath.Join(top, group)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("can't make a control group: %v", err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(filepath.Join(top, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			t.Error(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCgroupMembers(t *testing.T) {
	h := openHost(t)
	top := h.cgroupMounts().unified.path
	if top == "" {
		t.Skip("no unified hierarchy is mounted")
	}
	child, _ := startHelper(t, "hold", nil)
	group := fmt.Sprintf("sk-members-%d", os.Getpid())
	dir := makeCgroup(t, top, group, child.Process.Pid)
	id, err := inodeOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.cgroupPIDs([]uint64{id}); !slices.Equal(got, []int{child.Process.Pid}) {
		t.Errorf("members %v, want %d", got, child.Process.Pid)
	}
	if got := h.cgroupPIDs([]uint64{1 << 60}); len(got) != 0 {
		t.Errorf("members of no group: %v", got)
	}
	c, err := h.Cgroup(t.Context(), "/"+group)
	if err != nil || c.Frozen || c.Path != "/"+group {
		t.Errorf("%+v %v", c, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	if c, err = h.Cgroup(t.Context(), "/"+group); err != nil || !c.Frozen || c.FrozenBy != "/"+group {
		t.Errorf("frozen: %+v %v", c, err)
	}
	if p, err := h.Process(t.Context(), child.Process.Pid); err != nil || p.FrozenBy != "/"+group {
		t.Errorf("frozen by %q: %v", p.FrozenBy, err)
	}
}

func TestCgroupV1Freezer(t *testing.T) {
	h := openHost(t)
	top := h.cgroupMounts().v1["freezer"].path
	if top == "" {
		t.Skip("no freezer of version 1 is mounted")
	}
	child, _ := startHelper(t, "hold", nil)
	group := fmt.Sprintf("sk-freezer-%d", os.Getpid())
	dir := makeCgroup(t, top, group, child.Process.Pid)
	state := filepath.Join(dir, "freezer.state")
	if err := os.WriteFile(state, []byte("FROZEN"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(state, []byte("THAWED"), 0)
	p, err := h.Process(t.Context(), child.Process.Pid)
	if err != nil || p.FrozenBy != "/"+group {
		t.Errorf("frozen by %q, want /%s: %v", p.FrozenBy, group, err)
	}
	if c, err := h.Cgroup(t.Context(), "/"+group); err != nil || c.FrozenBy != "/"+group {
		t.Errorf("%+v %v", c, err)
	}
	for _, bad := range []string{"", "x", "/..", "/../etc", "/no/such/group", "/a//b", "/a/", "/" + strings.Repeat("x", 5000)} {
		if _, err := h.Cgroup(t.Context(), bad); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("group %.20q: %v, want ErrNotFound", bad, err)
		}
	}
}

func TestSocketOptions(t *testing.T) {
	h := openHost(t)
	fd, local := testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("127.0.0.1:0"), [][3]int{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}, {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 5}, {unix.IPPROTO_IP, unix.IP_FREEBIND, 1},
	}, "", 4}.open(t)
	got, err := h.SocketOptions(t.Context(), os.Getpid(), fd)
	if err != nil {
		t.Fatal(err)
	}
	// TCP keeps DEFER_ACCEPT as a number of retransmissions: 5 s become 7.
	if got.DeferAccept < 5 {
		t.Errorf("defer accept %d, want 5 or more", got.DeferAccept)
	}
	got.DeferAccept = 0
	want := host.SocketOptions{ReuseAddr: true, ReusePort: true, FreeBind: true, Accepting: true, Local: local}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, bad := range []int{-1, 1 << 20} {
		if _, err := h.SocketOptions(t.Context(), os.Getpid(), bad); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("descriptor %d: %v, want ErrNotFound", bad, err)
		}
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, err := h.SocketOptions(t.Context(), os.Getpid(), int(null.Fd())); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("a descriptor that is no socket: %v, want ErrNotFound", err)
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
