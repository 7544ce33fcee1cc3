//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// The first thread runs main for ever: the kernel ties a child's parent-death
// signal and ptrace to the thread that asked for them.
func init() { runtime.LockOSThread() }

// runCell clones the command into namespaces of its own, prints "PID n", and
// ends it when stdin ends. So nothing outlives the runner, however it dies:
// with the command, the first process of its pid namespace, all others die.
func runCell(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	cmd := exec.Command(fs.Arg(0), fs.Args()[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL, Setsid: true,
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Printf("PID %d\n", cmd.Process.Pid)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = cmd.Process.Kill()
	}()
	_ = cmd.Wait()
	return nil
}
