package thread

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Wherever it is called, f doesn't run on the first thread, and a thread that is
// not unlocked runs nothing else.
func TestBeside(t *testing.T) {
	var onFirst atomic.Int64
	var mu sync.Mutex
	seen := map[int]bool{}
	var all sync.WaitGroup
	end := time.Now().Add(5 * time.Second)
	for onFirst.Load() == 0 && time.Now().Before(end) {
		for range 50 {
			all.Go(func() {
				runtime.Gosched()
				before := onFirst.Load()
				Beside(func() {
					mu.Lock()
					defer mu.Unlock()
					if unix.Gettid() == unix.Getpid() || seen[unix.Gettid()] {
						t.Errorf("it runs on thread %d of %d, after others: %v", unix.Gettid(), unix.Getpid(), seen[unix.Gettid()])
					}
					seen[unix.Gettid()] = true
				})
				if runtime.LockOSThread(); unix.Gettid() == unix.Getpid() && before == 0 {
					onFirst.Add(1)
				}
				runtime.UnlockOSThread()
			})
		}
		all.Wait()
	}
	if onFirst.Load() == 0 {
		t.Error("no goroutine ran on the first thread, so nothing was shown")
	}
}
