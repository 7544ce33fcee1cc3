package fix

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A fix by iptables gives up soon, with the reason, where another holds the tool's
// lock for ever. The lock is one of a /run of its own.
func TestHeldLockOfIptables(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a /run of its own")
	}
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("needs iptables")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its namespaces
		err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_FS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("run", "/run", "tmpfs", 0, "")
		}
		if err != nil {
			t.Error(err)
			return
		}
		lock, err := os.Create("/run/xtables.lock")
		if err == nil {
			err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		}
		if err != nil {
			t.Error(err)
			return
		}
		defer lock.Close()
		began := time.Now()
		err = Run(context.Background(), []string{"iptables-legacy", "-w", "1", "-A", "INPUT", "-j", "ACCEPT"}, nil)
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "xtables lock") || took > 5*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	}()
	<-done
}
