//go:build !linux

package platform

// Child does the work of a process that an adapter started to act as another
// user. No adapter does so on this system.
func Child([]string) (status int, handled bool) { return 0, false }
