//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// runClient opens connections that stay, without waiting for them: the far end
// may never accept. With -n 0 it goes on until connect refuses.
func runClient(fs *flag.FlagSet, args []string) error {
	from := fs.String("from", "", "local address")
	to := fs.String("to", "", "remote address")
	n := fs.Int("n", 1, "how many; 0: until the kernel refuses")
	if err := fs.Parse(args); err != nil {
		return err
	}
	dst, err := parseEndpoint(*to)
	if err != nil {
		return err
	}
	for i := 0; *n == 0 || i < *n; i++ {
		fd, err := dst.socket("tcp")
		if err != nil {
			return err
		}
		if *from != "" {
			src, err := parseEndpoint(*from)
			if err != nil {
				return err
			}
			if err := src.bind(fd); err != nil {
				return fmt.Errorf("bind: %w", err)
			}
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		err = dst.connect(fd)
		if err == unix.EADDRNOTAVAIL && *n == 0 {
			return ready()
		}
		if err != nil && err != unix.EINPROGRESS && err != unix.EAGAIN {
			return fmt.Errorf("connect: %w", err)
		}
	}
	return ready()
}

// runSelfConnect connects a socket to its own address: TCP's simultaneous open.
func runSelfConnect(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	at, err := oneEndpoint(fs.Args())
	if err != nil {
		return err
	}
	fd, err := (&options{network: "tcp"}).open(at)
	if err != nil {
		return err
	}
	if err := at.connect(fd); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return ready()
}

// pair makes a listener at the address and one connection to it.
func pair(at endpoint, o options) (listener, client, server int, err error) {
	if listener, err = o.open(at); err != nil {
		return
	}
	if err = unix.Listen(listener, 8); err != nil {
		return
	}
	if client, err = at.socket("tcp"); err != nil {
		return
	}
	if err = at.connect(client); err != nil {
		return
	}
	server, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	return
}

func closeAll(fds ...int) error {
	for _, fd := range fds {
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

// runTimeWait leaves the port in TIME-WAIT: the server's end closed first.
func runTimeWait(fs *flag.FlagSet, args []string) error {
	var o options
	o.flags(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	at, err := oneEndpoint(fs.Args())
	if err != nil {
		return err
	}
	listener, client, server, err := pair(at, o)
	if err != nil {
		return err
	}
	if err := closeAll(server, client, listener); err != nil {
		return err
	}
	return ready()
}

// runCloseWait keeps the server's end of a connection that its client closed,
// without the listener: CLOSE-WAIT holds the port.
func runCloseWait(fs *flag.FlagSet, args []string) error {
	var o options
	o.flags(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	at, err := oneEndpoint(fs.Args())
	if err != nil {
		return err
	}
	listener, client, _, err := pair(at, o)
	if err != nil {
		return err
	}
	if err := closeAll(client, listener); err != nil {
		return err
	}
	return ready()
}

// runLeak starts a child that inherits the listener by mistake, and ends. The
// child alone holds it from then on and never accepts.
func runLeak(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() < 2 {
		return errors.New("want ADDR:PORT CMD…")
	}
	at, err := parseEndpoint(fs.Arg(0))
	if err != nil {
		return err
	}
	fd, err := (&options{network: "tcp"}).open(at)
	if err != nil {
		return err
	}
	if err := unix.Listen(fd, 16); err != nil {
		return err
	}
	child := exec.Command(fs.Arg(1), fs.Args()[2:]...)
	child.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "listener")}
	if err := child.Start(); err != nil {
		return err
	}
	fmt.Println("READY")
	return nil
}

// runTrace stops a process by attaching to it, as a debugger at a breakpoint.
func runTrace(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	pid, err := strconv.Atoi(fs.Arg(0))
	if err != nil {
		return err
	}
	// main is locked to the first thread (see init in cell.go): ptrace belongs
	// to the thread that attached.
	if err := unix.PtraceAttach(pid); err != nil {
		return fmt.Errorf("attaching to %d: %w", pid, err)
	}
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		return err
	}
	return ready()
}

// runConnect tries once and prints "errno after", as any client would see it.
// With -read it waits for the first bytes and prints what came.
func runConnect(fs *flag.FlagSet, args []string) error {
	network := fs.String("net", "tcp", "tcp or udp")
	from := fs.String("from", "", "local address")
	read := fs.Bool("read", false, "read after connecting")
	send := fs.String("send", "", "sent after connecting, with Go's escapes")
	timeout := fs.Duration("timeout", 5*time.Second, "of each step")
	if err := fs.Parse(args); err != nil {
		return err
	}
	to, err := oneEndpoint(fs.Args())
	if err != nil {
		return err
	}
	if *send, err = strconv.Unquote(`"` + *send + `"`); err != nil {
		return fmt.Errorf("escapes: %w", err)
	}
	started := time.Now()
	tell := func(what string) error {
		fmt.Printf("%s %d\n", what, time.Since(started).Milliseconds())
		return nil
	}
	fd, err := to.socket(*network)
	if err != nil {
		return tell(name(err))
	}
	tv := unix.NsecToTimeval(timeout.Nanoseconds())
	for _, opt := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, opt, &tv); err != nil {
			return err
		}
	}
	if *from != "" {
		src, err := parseEndpoint(*from)
		if err != nil {
			return err
		}
		if err := src.bind(fd); err != nil {
			return tell("bind:" + name(err))
		}
	}
	err = to.connect(fd)
	if err == unix.EINPROGRESS { // SO_SNDTIMEO ran out; see socket(7)
		err = unix.ETIMEDOUT
	}
	if err == nil && (*send != "" || *network == "udp") {
		_, err = unix.Write(fd, []byte(*send))
	}
	if err == nil && (*read || *network == "udp") {
		buf := make([]byte, 256)
		n, rerr := unix.Read(fd, buf)
		switch {
		case rerr == unix.EAGAIN:
			return tell("silence")
		case rerr != nil:
			return tell("read:" + name(rerr))
		case n == 0 && *network == "tcp":
			return tell("EOF")
		}
		return tell("data")
	}
	return tell(name(err))
}

// runBind tries a bind (and for TCP a listen, which may fail where bind does
// not) and prints the errno of each.
func runBind(fs *flag.FlagSet, args []string) error {
	var o options
	o.flags(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	at, err := oneEndpoint(fs.Args())
	if err != nil {
		return err
	}
	fd, err := o.open(at)
	if err == nil && o.network == "tcp" {
		err = unix.Listen(fd, 1)
	}
	fmt.Println(name(err))
	if err == nil && strings.HasPrefix(at.path, "/") {
		return os.Remove(at.path) // what was free is free again
	}
	return nil
}
