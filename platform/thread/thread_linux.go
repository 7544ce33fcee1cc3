// Package thread runs what changes a thread's namespaces apart from the rest.
package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Beside runs f on a thread that nothing else runs on, and not on the process's
// first one: /proc/PID shows the namespaces of that one as the process's own, and it
// doesn't end with its goroutine. f begins locked to the thread, by
// [runtime.LockOSThread]; a thread that f doesn't unlock ends with f.
func Beside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			Beside(f) // while this one is held
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}
