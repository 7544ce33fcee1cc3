//go:build !linux

package platform

func child([]string) (status int, handled bool) { return 0, false }
