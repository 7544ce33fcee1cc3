//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	iptables "github.com/portwhy/portwhy/rules/xtables"
)

const (
	// xtSoGetInfo is IPT_SO_GET_INFO, the same for IPv6, and arpSoGetInfo for ARP;
	// the next number is IPT_SO_GET_ENTRIES.
	xtSoGetInfo  = 64
	arpSoGetInfo = 96

	xtNameSize    = 32
	xtEntriesHead = 40
	// xtTableMax bounds a table, as the kernel does (XT_MAX_TABLE_SIZE of
	// net/netfilter/x_tables.c): some 2.5 million rules.
	xtTableMax = 512 << 20
	// xtEntryLeast is the size of the smallest entry: struct ipt_entry and a target.
	xtEntryLeast = 112 + 32

	hugePage = 2 << 20
)

// xtFamily is iptables-legacy, ip6tables-legacy or arptables-legacy.
type xtFamily struct {
	tool   string
	family rules.Family
	names  string // file below /proc/net that lists the tables of a namespace
	// Of getsockopt(2).
	domain, level, getInfo int
}

func xtables() []xtFamily {
	return []xtFamily{
		{"iptables-legacy", rules.IP, "ip_tables_names", unix.AF_INET, unix.SOL_IP, xtSoGetInfo},
		{"ip6tables-legacy", rules.IP6, "ip6_tables_names", unix.AF_INET6, unix.SOL_IPV6, xtSoGetInfo},
		{"arptables-legacy", rules.ARP, "arp_tables_names", unix.AF_INET, unix.SOL_IP, arpSoGetInfo},
	}
}

// tables lists the tables that exist in the calling thread's namespace.
func (x xtFamily) tables() ([]string, error) {
	names, err := os.ReadFile("/proc/thread-self/net/" + x.names)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the kernel's part of it isn't there
	}
	return tableNames(names), err
}

// tableNames reads /proc/net/ip_tables_names: a name a line.
func tableNames(b []byte) []string {
	var names []string
	for line := range bytes.Lines(b) {
		if name := bytes.TrimSpace(line); len(name) > 0 && len(name) < xtNameSize {
			names = append(names, host.Clean(name, xtNameSize))
		}
	}
	return names
}

// table reads a table in the calling thread's namespace.
func (x xtFamily) table(name string) (*rules.Table, error) {
	info, entries, err := x.read(name)
	if err != nil {
		return nil, err
	}
	n := min(int(binary.NativeEndian.Uint32(info[len(info)-8:])), len(entries)/xtEntryLeast)
	return iptables.DecodeEntries(x.family, name, info, entries, pages[rules.Rule](n))
}

// pages is memory for n values, in the system's large pages where it has such: a
// large table is read a tenth faster, as the kernel is asked for fewer.
func pages[T any](n int) []T {
	list := make([]T, n)
	if size := n * int(unsafe.Sizeof(*new(T))); size >= hugePage {
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&list[0])), size), unix.MADV_HUGEPAGE)
	}
	return list
}

// read asks the kernel for a table in the calling thread's namespace: for
// struct ipt_getinfo, and for the entries.
func (x xtFamily) read(table string) (info, entries []byte, err error) {
	fd, err := unix.Socket(x.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(fd)
	for range dumpTries {
		info = make([]byte, iptables.InfoSize(x.family))
		copy(info, table)
		if err := getsockopt(fd, x.level, x.getInfo, info); err != nil {
			return nil, nil, err
		}
		size := binary.NativeEndian.Uint32(info[len(info)-4:])
		if size > xtTableMax {
			return nil, nil, fmt.Errorf("%d bytes are too many", size)
		}
		entries = pages[byte](xtEntriesHead + int(size))
		copy(entries, table)
		binary.NativeEndian.PutUint32(entries[xtNameSize:], size)
		err := getsockopt(fd, x.level, x.getInfo+1, entries)
		if err == unix.EAGAIN {
			continue // the table changed in between
		}
		if err != nil {
			return nil, nil, err
		}
		return info, entries[xtEntriesHead:], nil
	}
	return nil, nil, errTableChanged
}

// getsockopt fills b, which also tells what is wanted.
func getsockopt(fd, level, option int, b []byte) error {
	length := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&length)), 0)
	runtime.KeepAlive(b)
	if errno != 0 {
		return errno
	}
	return nil
}
