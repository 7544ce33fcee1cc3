package cli

import (
	"runtime"
	"runtime/debug"
)

// How much the heap may grow before garbage is collected, in percent: the first
// time, from the 4 MB that the runtime reckons with, and from then on.
const (
	firstGrowth = 1000
	laterGrowth = 400
)

// collectSeldom sets how often garbage is collected. One run is short and keeps most
// of what it reads, as a large ruleset: collecting meanwhile costs a tenth of the
// time and frees nothing. So it begins at 44 MB, which a run on a small host never
// reaches. One that reads or lasts more must not grow tenfold each time.
func collectSeldom() {
	debug.SetGCPercent(firstGrowth)
	// What nothing points to is gone when garbage was collected once.
	runtime.AddCleanup(new(struct{ _ *int }), func(struct{}) {
		if was := debug.SetGCPercent(laterGrowth); was != firstGrowth {
			debug.SetGCPercent(was) // a command has set its own
		}
	}, struct{}{})
}
