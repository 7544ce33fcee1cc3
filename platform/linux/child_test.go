//go:build linux

package linux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// onThreadOfItsOwn runs f on a thread that ends with it, rights and namespaces
// that f changes included. It is never the main one, whose credentials are what
// /proc/PID tells of the process.
func onThreadOfItsOwn(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			onThreadOfItsOwn(f)
			return
		}
		f()
	}()
	<-done
}

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
	case "hidden": // the same where /proc hides processes
		tellHidden()
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
