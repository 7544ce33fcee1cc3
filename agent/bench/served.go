//go:build linux

package main

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// diagnosis compares a whole diagnosis of a listener behind the rules that are
// loaded with a tool that only lists them.
func (f *firewallBench) diagnosis(theirs string) error {
	fd, err := listen(firstPort)
	if err != nil {
		return err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		serve(fd)
	}()
	target := "127.0.0.1:" + strconv.Itoa(firstPort)
	err = f.pair("diagnose a listener behind them: "+theirs, []string{f.o.portwhy, target}, []string{theirs}, goal{wall: 1})
	_ = unix.Shutdown(fd, unix.SHUT_RDWR)
	<-served
	unix.Close(fd)
	return err
}

// serve accepts connections and closes them, until the listener is shut down.
func serve(listener int) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		unix.Close(fd)
	}
}
