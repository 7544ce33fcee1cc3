//go:build linux

package linux

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Bounds of the look at a holder's relatives.
const (
	relativesMax  = 256 // processes in all
	neighboursMax = 4   // processes on each side in order of pid
	threadsMax    = 64  // threads whose children are listed
)

// Holders reads the descriptors of processes in parallel. Unless q.Every is set, it
// begins with the processes in the control groups that the sockets were made
// in, goes on with all in order of pid, and stops when each socket has a
// holder; then it looks at the parents, children and neighbours of those.
func (h *Host) Holders(ctx context.Context, q host.HolderQuery) (host.Holders, error) {
	all, err := pids()
	if err != nil {
		return host.Holders{}, fmt.Errorf("list processes: %w", err)
	}
	s := newSearch(q)
	if q.Names || q.Args {
		s.describe = func(d *procDir) (host.Process, error) { return h.holder(d, q.Args) }
	}
	if s.early {
		if err := s.scan(ctx, h.cgroupPIDs(h.found.cgroups(q.Inodes))); err != nil {
			return host.Holders{}, err
		}
	}
	if err := s.scan(ctx, all); err != nil {
		return host.Holders{}, err
	}
	if s.early {
		if err := s.relatives(ctx, all); err != nil {
			return host.Holders{}, err
		}
	}
	return s.result(), nil
}

// search is one search for holders.
type search struct {
	early  bool
	wanted *inodeSet
	seen   map[int]bool // processes that were scanned; only if early
	found  []heldSocket
	denied int

	// describe, if set, describes each holder.
	describe  func(*procDir) (host.Process, error)
	described []host.Process

	mu      sync.Mutex
	missing map[uint64]struct{} // sockets without a holder; only if early
	done    atomic.Bool
}

func newSearch(q host.HolderQuery) *search {
	s := &search{early: !q.Every && len(q.Inodes) > 0}
	if len(q.Inodes) == 0 {
		return s
	}
	s.wanted = newInodeSet(q.Inodes)
	if s.early {
		s.seen = make(map[int]bool)
		s.missing = make(map[uint64]struct{}, len(q.Inodes))
		for _, inode := range q.Inodes {
			// Sockets that are in the kernel only have no inode, and no holder.
			if inode != 0 {
				s.missing[inode] = struct{}{}
			}
		}
		s.done.Store(len(s.missing) == 0)
	}
	return s
}

// scan looks into processes on all CPUs, in order, until nothing is missing.
func (s *search) scan(ctx context.Context, list []int) error {
	if s.early {
		list = slices.DeleteFunc(slices.Clone(list), func(pid int) bool { return s.seen[pid] })
	}
	workers := min(runtime.GOMAXPROCS(0), 8, len(list))
	if workers == 0 || s.early && s.done.Load() {
		return ctx.Err()
	}
	scanners := make([]fdScanner, workers)
	errs := make([]error, workers)
	var next atomic.Int64
	var wait sync.WaitGroup
	for w := range workers {
		scanners[w].wanted, scanners[w].describe = s.wanted, s.describe
		wait.Go(func() { errs[w] = s.work(ctx, &scanners[w], list, &next) })
	}
	done := make(chan struct{})
	go func() {
		wait.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done(): // a worker may wait for ever, as in Process
		return ctx.Err()
	}
	for w := range workers {
		if errs[w] != nil {
			return errs[w]
		}
		s.found = append(s.found, scanners[w].found...)
		s.described = append(s.described, scanners[w].described...)
		s.denied += scanners[w].unreadable
	}
	if s.early {
		for _, pid := range list[:min(int(next.Load()), len(list))] {
			s.seen[pid] = true
		}
	}
	return nil
}

func (s *search) work(ctx context.Context, scanner *fdScanner, list []int, next *atomic.Int64) error {
	for !s.done.Load() {
		i := int(next.Add(1)) - 1
		if i >= len(list) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		before := len(scanner.found)
		if err := scanner.process(list[i]); err != nil {
			return err
		}
		if s.early && len(scanner.found) > before {
			s.strike(scanner.found[before:])
		}
	}
	return nil
}

// strike takes sockets off the list of those without a holder.
func (s *search) strike(found []heldSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range found {
		delete(s.missing, f.inode)
	}
	s.done.Store(len(s.missing) == 0)
}

// relatives looks at those who may have inherited a socket, or left it to a
// holder: parent, children, and neighbours in order of pid. Whoever holds it
// too has relatives in turn.
func (s *search) relatives(ctx context.Context, all []int) error {
	// The rest is a look at named processes, not a search that may stop.
	s.early = false
	s.done.Store(false)
	checked := make(map[int]bool)
	budget := relativesMax
	for from := 0; from < len(s.found) && budget > 0; {
		var list []int
		for _, f := range s.found[from:] {
			if checked[f.pid] {
				continue
			}
			checked[f.pid] = true
			for _, pid := range relativesOf(f.pid, all) {
				if !s.seen[pid] && len(list) < budget {
					s.seen[pid] = true
					list = append(list, pid)
				}
			}
		}
		from = len(s.found)
		budget -= len(list)
		if err := s.scan(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

func relativesOf(pid int, all []int) []int {
	var list []int
	proc := "/proc/" + strconv.Itoa(pid)
	if b, err := readSmall(proc + "/stat"); err == nil {
		if st, err := parseStat(b); err == nil && st.ppid > 0 {
			list = append(list, st.ppid)
		}
	}
	list = append(list, children(proc)...)
	if i, ok := slices.BinarySearch(all, pid); ok {
		list = append(list, all[max(0, i-neighboursMax):i]...)
		list = append(list, all[i+1:min(len(all), i+1+neighboursMax)]...)
	}
	return list
}

// children reads /proc/PID/task/TID/children, which kernels without
// CONFIG_PROC_CHILDREN lack: then there are only the neighbours.
func children(proc string) []int {
	dir, err := unix.Open(proc+"/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	threads, _ := numbersIn(dir, proc+"/task")
	var list []int
	for _, tid := range threads[:min(len(threads), threadsMax)] {
		b, err := readSmall(proc + "/task/" + strconv.Itoa(tid) + "/children")
		if err != nil {
			return list
		}
		list = append(list, parseNumbers(b)...)
		if len(list) > relativesMax {
			break
		}
	}
	return list
}

// result puts the holders of each socket in order of pid, all in one array.
func (s *search) result() host.Holders {
	slices.SortFunc(s.found, func(a, b heldSocket) int {
		switch {
		case a.inode != b.inode:
			return cmp.Compare(a.inode, b.inode)
		case a.pid != b.pid:
			return cmp.Compare(a.pid, b.pid)
		}
		return cmp.Compare(a.fd, b.fd)
	})
	out := host.Holders{BySocket: make(map[uint64][]host.Holder, s.sockets()), Unreadable: s.denied}
	if s.describe != nil {
		out.Processes = make(map[int]host.Process, len(s.described))
		for _, p := range s.described {
			out.Processes[p.PID] = p
		}
	}
	holders := make([]host.Holder, len(s.found))
	for from, i := 0, 0; i < len(s.found); i++ {
		f := s.found[i]
		holders[i] = host.Holder{PID: f.pid, FD: f.fd, StartTicks: f.start}
		if i+1 == len(s.found) || s.found[i+1].inode != f.inode {
			out.BySocket[f.inode] = holders[from : i+1 : i+1]
			from = i + 1
		}
	}
	return out
}

// sockets counts those that were found; s.found is in order.
func (s *search) sockets() int {
	n := 0
	for i, f := range s.found {
		if i == 0 || f.inode != s.found[i-1].inode {
			n++
		}
	}
	return n
}

// cgroupPIDs lists the processes in control groups of these ids.
func (h *Host) cgroupPIDs(ids []uint64) []int {
	mount := h.cgroupMounts().unified
	if len(ids) == 0 || mount.path == "" {
		return nil
	}
	root, err := unix.Open(mount.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(root)
	var list []int
	for _, id := range ids {
		list = append(list, membersOf(root, id)...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// membersOf finds a control group by its id, which is its file handle
// (fs/kernfs/mount.c, kernfs_fh_to_dentry), and lists its processes. It takes
// CAP_DAC_READ_SEARCH; without, the search just begins elsewhere.
func membersOf(root int, id uint64) []int {
	const fileIDKernfs = 0xfe
	var st unix.Stat_t
	if unix.Fstat(root, &st) == nil && st.Ino == id {
		return nil // the root group: everyone
	}
	handle := unix.NewFileHandle(fileIDKernfs, nativeBytes(id))
	dir, err := unix.OpenByHandleAt(root, handle, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, "cgroup.procs", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	file := os.NewFile(uintptr(fd), "cgroup.procs")
	defer file.Close()
	b, err := readBounded(file, 1<<20)
	if err != nil {
		return nil
	}
	return parseNumbers(b)
}
