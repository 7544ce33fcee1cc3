//go:build unix

package fix

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"
)

// A command that goes on when its portwhy was killed keeps the lock to its end.
func TestCommandHoldsLock(t *testing.T) {
	j := journal(t)
	unlock, err := j.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// What a portwhy that is killed closes is its own end of the lock.
	fd, err := syscall.Dup(int(j.held.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	held := os.NewFile(uintptr(fd), "lock")
	ended := make(chan time.Time)
	go func() {
		err := Run(context.Background(), []string{"sleep", "0.3"}, held)
		held.Close()
		if err != nil {
			t.Error(err)
		}
		ended <- time.Now()
	}()
	time.Sleep(100 * time.Millisecond)
	unlock()
	again, err := j.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer again()
	if at := time.Now(); at.Before((<-ended).Add(-100 * time.Millisecond)) {
		t.Error("another had the lock while the command ran")
	}
}
