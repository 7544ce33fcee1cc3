package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// growth is what is set, unchanged.
func growth() int {
	now := debug.SetGCPercent(100)
	debug.SetGCPercent(now)
	return now
}

func TestCollectSeldom(t *testing.T) {
	defer debug.SetGCPercent(growth())
	collectSeldom()
	if got := growth(); got != firstGrowth {
		t.Fatalf("before garbage was collected the heap may grow by %d %%, want %d", got, firstGrowth)
	}
	runtime.GC()
	for deadline := time.Now().Add(10 * time.Second); growth() != laterGrowth; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after garbage was collected the heap may grow by %d %%, want %d", growth(), laterGrowth)
		}
	}
}

// A command that reads a large file sets a growth of its own.
func TestCollectSeldomKeepsWhatACommandSet(t *testing.T) {
	defer debug.SetGCPercent(growth())
	collectSeldom()
	bound(1 << 30)
	want := growth()
	done := make(chan struct{})
	runtime.AddCleanup(new(struct{ _ *int }), func(struct{}) { close(done) }, struct{}{})
	runtime.GC()
	<-done // cleanups of one collection run close together
	time.Sleep(50 * time.Millisecond)
	if got := growth(); got != want {
		t.Errorf("the heap may grow by %d %%, the command set %d", got, want)
	}
}
