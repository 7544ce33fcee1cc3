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
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	// xtSoGetInfo is IPT_SO_GET_INFO, the same for IPv6, and arpSoGetInfo for ARP;
	// the next number is IPT_SO_GET_ENTRIES.
	xtSoGetInfo  = 64
	arpSoGetInfo = 96

	xtNameSize    = 32
	xtInfoSize    = 84
	xtEntriesHead = 40
	// xtTableMax bounds a table: about 400,000 rules.
	xtTableMax = 64 << 20
)

// xtFamily is one of the two iptables-legacy, or arptables.
type xtFamily struct {
	tool   string
	family string
	names  string // file below /proc/net that lists the tables of a namespace
	// Of getsockopt(2).
	domain, level, getInfo int
	infoSize               int
	// Layout of struct ipt_entry or ip6t_entry.
	targetOffset, size int
}

func xtables() []xtFamily {
	return []xtFamily{
		{tool: "iptables-legacy", family: "ip", names: "ip_tables_names", domain: unix.AF_INET, level: unix.SOL_IP, getInfo: xtSoGetInfo, infoSize: xtInfoSize, targetOffset: 88, size: 112},
		{tool: "ip6tables-legacy", family: "ip6", names: "ip6_tables_names", domain: unix.AF_INET6, level: unix.SOL_IPV6, getInfo: xtSoGetInfo, infoSize: xtInfoSize, targetOffset: 140, size: 168},
		{tool: "arptables-legacy", family: "arp", names: "arp_tables_names", domain: unix.AF_INET, level: unix.SOL_IP, getInfo: arpSoGetInfo, infoSize: 68},
	}
}

// legacyHooks lists the chains of the tables that one of the legacy tools made
// in this namespace. Only tables that are listed are asked for, because the
// kernel makes a table that is asked for.
func (h *Host) legacyHooks(x xtFamily) ([]host.Hook, error) {
	var list []host.Hook
	err := h.inNamespace(func() error {
		names, err := os.ReadFile("/proc/thread-self/net/" + x.names)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the kernel's part of it isn't there
		}
		if err != nil {
			return err
		}
		for _, name := range tableNames(names) {
			hooks, err := x.hooks(name)
			if err != nil {
				return fmt.Errorf("read table %s of %s: %w", name, x.tool, err)
			}
			list = append(list, hooks...)
		}
		return nil
	})
	return list, err
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

// hooks reads a table in the calling thread's namespace.
func (x xtFamily) hooks(table string) ([]host.Hook, error) {
	if x.targetOffset == 0 { // of ARP's only the names are wanted
		return []host.Hook{{Backend: "iptables-legacy", Family: x.family, Table: table, Type: "filter", Rules: -1}}, nil
	}
	info, entries, err := x.read(table)
	if err != nil {
		return nil, err
	}
	return x.parse(table, info, entries)
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
		info = make([]byte, x.infoSize)
		copy(info, table)
		if err := getsockopt(fd, x.level, x.getInfo, info); err != nil {
			return nil, nil, err
		}
		size := binary.NativeEndian.Uint32(info[x.infoSize-4:])
		if size > xtTableMax {
			return nil, nil, fmt.Errorf("%d bytes are too many", size)
		}
		entries = make([]byte, xtEntriesHead+int(size))
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

// errTable means that a table is not what it should be.
var errTable = errors.New("unexpected table")

// parse reads struct ipt_getinfo and the entries that belong to it
// (linux/netfilter_ipv4/ip_tables.h): of each built-in chain the number of its
// rules, which lie between its entry and its underflow, and its policy, the
// verdict there.
func (x xtFamily) parse(table string, info, entries []byte) ([]host.Hook, error) {
	if len(info) < xtInfoSize {
		return nil, fmt.Errorf("%w: %d bytes of information", errTable, len(info))
	}
	valid := binary.NativeEndian.Uint32(info[xtNameSize:])
	var list []host.Hook
	for n, hook := range []string{"prerouting", "input", "forward", "output", "postrouting"} {
		if valid>>n&1 == 0 {
			continue
		}
		begin := int(binary.NativeEndian.Uint32(info[36+4*n:]))
		end := int(binary.NativeEndian.Uint32(info[56+4*n:]))
		rules := 0
		for at := begin; at != end; rules++ {
			_, next, err := x.entry(entries, at)
			if err != nil {
				return nil, err
			}
			at += next
		}
		target, next, err := x.entry(entries, end)
		if err != nil {
			return nil, err
		}
		policy, err := verdict(entries[end+target : end+next])
		if err != nil {
			return nil, err
		}
		list = append(list, host.Hook{Backend: "iptables-legacy", Family: x.family, Table: table,
			Chain: strings.ToUpper(hook), Hook: hook, Priority: xtablesPriority(table, hook),
			Policy: policy, Type: xtablesType(table, hook), Rules: rules})
	}
	return list, nil
}

// entry reads where an entry's target and the next entry begin, from its own
// beginning.
func (x xtFamily) entry(entries []byte, at int) (target, next int, err error) {
	if at < 0 || at > len(entries)-x.size {
		return 0, 0, fmt.Errorf("%w: entry at %d of %d", errTable, at, len(entries))
	}
	target = int(binary.NativeEndian.Uint16(entries[at+x.targetOffset:]))
	next = int(binary.NativeEndian.Uint16(entries[at+x.targetOffset+2:]))
	if target < x.size || next < target || next > len(entries)-at {
		return 0, 0, fmt.Errorf("%w: entry at %d has its target at %d and ends at %d", errTable, at, target, next)
	}
	return target, next, nil
}

// verdict reads a standard target (struct xt_standard_target): size, name,
// revision, and for ACCEPT and DROP minus the verdict minus 1.
func verdict(target []byte) (string, error) {
	if len(target) < 36 {
		return "", fmt.Errorf("%w: target of %d bytes", errTable, len(target))
	}
	switch n := int32(binary.NativeEndian.Uint32(target[32:])); n {
	case -1:
		return "drop", nil
	case -2:
		return "accept", nil
	default:
		return strconv.Itoa(int(n)), nil
	}
}

func xtablesPriority(table, hook string) int {
	for _, c := range xtablesChains[table] {
		if c.hook == hook {
			return c.priority
		}
	}
	return 0
}

// xtablesType is what nft(8) calls such a chain.
func xtablesType(table, hook string) string {
	switch {
	case table == "nat":
		return "nat"
	case table == "mangle" && hook == "output":
		return "route"
	}
	return "filter"
}
