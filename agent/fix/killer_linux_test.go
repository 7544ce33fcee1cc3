package fix_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// killer runs a program and kills it (SIGKILL) right before a system call. A child
// that the program has forked counts as part of it until it executes something
// else, and goes on when the program is killed.
type killer struct {
	argv []string
	// every: all system calls count, not only those that others can notice.
	every bool
	// at is the number of the call that is not made; 0: it isn't killed.
	at int

	calls  int // that counted
	killed bool
	call   uint64 // that was not made

	pid    int
	leader map[int]int // of a thread, its process
}

func (k *killer) String() string {
	return fmt.Sprintf("killed at call %d (number %d)", k.calls, k.call)
}

// stop is the head of struct ptrace_syscall_info (ptrace(2)); entry is what follows for a call
// that begins.
type stop struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	ip, sp uint64
	nr     uint64
	args   [6]uint64
}

// Values of linux/ptrace.h.
const (
	getSyscallInfo = 0x420e
	opEntry        = 1
)

// run runs the program to its end, one way or the other.
func (k *killer) run() error {
	runtime.LockOSThread() // a tracer is one thread
	defer runtime.UnlockOSThread()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	p, err := os.StartProcess(k.argv[0], k.argv, &os.ProcAttr{Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Files: []*os.File{null, null, null}, Sys: &unix.SysProcAttr{Ptrace: true}})
	if err != nil {
		return err
	}
	k.pid, k.leader = p.Pid, map[int]int{p.Pid: p.Pid}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(k.pid, &ws, unix.WALL, nil); err != nil {
		return fmt.Errorf("wait for %s: %w", k.argv[0], err)
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC
	if err := unix.PtraceSetOptions(k.pid, options); err != nil {
		return fmt.Errorf("trace %s: %w", k.argv[0], err)
	}
	_ = unix.PtraceSyscall(k.pid, 0)
	for {
		task, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil // nothing is traced any more, not even a child that was just born
		case err != nil:
			return fmt.Errorf("wait for %s: %w", k.argv[0], err)
		}
		if !ws.Stopped() {
			delete(k.leader, task)
			continue
		}
		k.stopped(task, ws)
	}
}

// stopped handles a stop of one thread and lets it go on. Errors of ptrace mean
// that it has been killed meanwhile.
func (k *killer) stopped(task int, ws unix.WaitStatus) {
	if k.leader[task] == 0 {
		k.leader[task] = leaderOf(task)
	}
	child := k.leader[task] != k.pid
	sig := ws.StopSignal()
	switch {
	case child && (k.killed || ws.TrapCause() == unix.PTRACE_EVENT_EXEC):
		delete(k.leader, task)
		_ = unix.PtraceDetach(task)
		return
	case sig == unix.SIGTRAP|0x80:
		k.count(task)
		if child && k.killed {
			delete(k.leader, task)
			_ = unix.PtraceDetach(task)
			return
		}
		sig = 0
	case sig == unix.SIGTRAP, sig == unix.SIGSTOP: // an event, or a new thread
		sig = 0
	}
	_ = unix.PtraceSyscall(task, int(sig))
}

// count counts a call that begins, and kills the program if it is the one.
func (k *killer) count(task int) {
	var s stop
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(task), unsafe.Sizeof(s), uintptr(unsafe.Pointer(&s)), 0, 0); errno != 0 || s.op != opEntry {
		return
	}
	if !k.every && !noticed(task, s) {
		return
	}
	k.calls++
	if k.calls == k.at {
		k.killed, k.call = true, s.nr
		_ = unix.Kill(k.pid, unix.SIGKILL)
	}
}

func leaderOf(task int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", task))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "\nTgid:")
	var pid int
	_, _ = fmt.Sscan(rest, &pid)
	return pid
}

// own are the calls that only their own process can notice: they read, wait, ask
// for memory, or prepare what a later call does. A call that is not here counts as
// one that others notice.
var own = map[uint64]bool{
	unix.SYS_FUTEX: true, unix.SYS_NANOSLEEP: true, unix.SYS_CLOCK_NANOSLEEP: true, unix.SYS_CLOCK_GETTIME: true, unix.SYS_SCHED_YIELD: true, unix.SYS_RESTART_SYSCALL: true,
	unix.SYS_MMAP: true, unix.SYS_MUNMAP: true, unix.SYS_MADVISE: true, unix.SYS_MPROTECT: true, unix.SYS_BRK: true,
	unix.SYS_READ: true, unix.SYS_PREAD64: true, unix.SYS_READV: true, unix.SYS_LSEEK: true, unix.SYS_GETDENTS64: true, unix.SYS_READLINKAT: true, unix.SYS_FACCESSAT: true,
	unix.SYS_FSTAT: true, unix.SYS_STATX: true, unix.SYS_STATFS: true, newfstatat: true, unix.SYS_FCNTL: true, unix.SYS_DUP3: true, unix.SYS_PIPE2: true, unix.SYS_GETCWD: true,
	unix.SYS_EPOLL_CREATE1: true, unix.SYS_EPOLL_CTL: true, unix.SYS_EPOLL_PWAIT: true, unix.SYS_EVENTFD2: true, unix.SYS_PPOLL: true,
	unix.SYS_RT_SIGACTION: true, unix.SYS_RT_SIGPROCMASK: true, unix.SYS_RT_SIGRETURN: true, unix.SYS_SIGALTSTACK: true, unix.SYS_TGKILL: true, // to itself: Go's preemption
	unix.SYS_GETPID: true, unix.SYS_GETTID: true, unix.SYS_GETUID: true, unix.SYS_GETEUID: true, unix.SYS_UNAME: true, unix.SYS_GETRANDOM: true,
	unix.SYS_SCHED_GETAFFINITY: true, unix.SYS_SET_ROBUST_LIST: true, unix.SYS_SET_TID_ADDRESS: true, unix.SYS_RSEQ: true, unix.SYS_PRLIMIT64: true, unix.SYS_PRCTL: true,
	unix.SYS_SOCKET: true, unix.SYS_GETSOCKOPT: true, unix.SYS_SETSOCKOPT: true, unix.SYS_GETSOCKNAME: true, unix.SYS_GETPEERNAME: true, unix.SYS_RECVMSG: true, unix.SYS_RECVFROM: true,
	unix.SYS_PIDFD_OPEN: true, unix.SYS_PIDFD_GETFD: true, unix.SYS_BPF: true, // asks for ids and facts; a load is refused by agent/lab's own watch
}

// noticed reports whether anything outside its process can notice a call.
func noticed(task int, s stop) bool {
	const writes = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC
	switch {
	case s.nr == unix.SYS_OPENAT:
		return s.args[2]&writes != 0
	case s.nr == unix.SYS_FCNTL:
		return s.args[1] == unix.F_SETLK || s.args[1] == unix.F_OFD_SETLK
	case s.nr == unix.SYS_CLOSE:
		// Others notice the end of a lock, a pipe or a connection.
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", task, s.args[0]))
		return strings.HasPrefix(to, "pipe:") || strings.HasSuffix(to, "/lock") || strings.HasPrefix(to, "socket:") && !netlink(to)
	case s.nr == unix.SYS_BIND:
		var family [2]byte
		_, err := unix.PtracePeekData(task, uintptr(s.args[1]), family[:])
		return err != nil || binary.NativeEndian.Uint16(family[:]) != unix.AF_NETLINK
	case s.nr == unix.SYS_SENDTO:
		// What portwhy itself sends by netlink are questions: agent/lab watches that.
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", task, s.args[0]))
		return !netlink(to)
	}
	return !own[s.nr]
}

// netlink reports whether an open file is a netlink socket.
func netlink(link string) bool {
	inode := strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")
	list, _ := os.ReadFile("/proc/self/net/netlink")
	return slices.Contains(strings.Fields(string(list)), inode)
}
