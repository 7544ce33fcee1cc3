//go:build linux

package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// counterMax bounds how many counters a file may hold; /proc/net/netstat, the
// largest, has some 250.
const counterMax = 4096

// counterFile is one file of counters.
type counterFile struct {
	path  string // in the view's /proc
	parse func([]byte, map[string]int64) error
	// must: every kernel with IP has it.
	must bool
	// whole: it is of the whole host, and only the namespace in which the host
	// started shows it, so the caller's is asked.
	whole bool
}

func counterFiles() []counterFile {
	return []counterFile{
		{path: "thread-self/net/snmp", parse: parseSNMP, must: true},
		{path: "thread-self/net/netstat", parse: parseSNMP},
		{path: "thread-self/net/snmp6", parse: parseSNMP6},
		{path: "thread-self/net/sockstat", parse: parseSockstat},
		{path: "thread-self/net/sockstat6", parse: parseSockstat},
		{path: "thread-self/net/xfrm_stat", parse: parseXfrmStat},
		{path: "thread-self/net/stat/nf_conntrack", parse: parseConntrackStat},
		{path: "sys/net/netfilter/nf_conntrack_count", parse: named("Conntrack.count")},
		{path: "sys/net/netfilter/nf_conntrack_max", parse: named("Conntrack.max")},
		{path: "sys/fs/file-nr", parse: named("File.allocated", "", "File.max"), whole: true},
		// tcp_mem holds low, pressure and high, in pages; tcp(7).
		{path: "sys/net/ipv4/tcp_mem", parse: named("", "Memory.tcp_pressure_pages", "Memory.tcp_max_pages"), whole: true},
	}
}

// Counters reads the counters of this namespace from /proc: Ip.*, Icmp.*,
// Tcp.*, Udp.* (snmp), TcpExt.*, IpExt.* (netstat), Ip6.*, Icmp6.*, Udp6.*
// (snmp6), Sockstat.TCP.mem and the like (sockstat), Xfrm.OutPolBlock and the
// like (xfrm_stat), and those that [host.System] names. What this kernel
// doesn't count, or doesn't show to the caller, is missing.
func (h *Host) Counters(ctx context.Context) (map[string]int64, error) {
	counters := map[string]int64{}
	if err := readCounters(ctx, counters, true); err != nil {
		return nil, err
	}
	if err := h.inNamespace(func() error { return readCounters(ctx, counters, false) }); err != nil {
		return nil, err
	}
	return counters, nil
}

func readCounters(ctx context.Context, counters map[string]int64, whole bool) error {
	for _, file := range counterFiles() {
		if file.whole != whole {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := os.ReadFile("/proc/" + file.path)
		if !file.must && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
			continue
		}
		if err == nil {
			err = file.parse(b, counters)
		}
		if err != nil {
			return fmt.Errorf("read counters of /proc/%s: %w", file.path, err)
		}
	}
	return nil
}

// errCounters means that a file of counters is not what it should be.
var errCounters = errors.New("unexpected counters")

// add counts under a name. What doesn't fit into 63 bits is cut to them.
func add(counters map[string]int64, group, name, value []byte) error {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if errors.Is(err, strconv.ErrRange) && n == math.MaxInt64 {
		err = nil
	}
	if err != nil || len(name) == 0 || len(name) > nameMax || len(group) > nameMax || len(counters) >= counterMax {
		return fmt.Errorf("%w: %s %q = %q", errCounters, group, host.Clean(name, 40), host.Clean(value, 40))
	}
	counters[string(group)+"."+host.Clean(name, nameMax)] = n
	return nil
}

// parseSNMP reads /proc/net/snmp and /proc/net/netstat: pairs of lines, the
// names of a group and then their values (snmp_seq_show in net/ipv4/proc.c).
func parseSNMP(b []byte, counters map[string]int64) error {
	var group []byte
	var names [][]byte
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 0 {
			continue
		}
		head, ok := bytes.CutSuffix(f[0], []byte(":"))
		if !ok {
			return fmt.Errorf("%w: line %q", errCounters, host.Clean(line, 80))
		}
		if names == nil {
			group, names = head, f[1:]
			continue
		}
		if !bytes.Equal(head, group) || len(f)-1 != len(names) {
			return fmt.Errorf("%w: %d values of %q for %d names of %q", errCounters,
				len(f)-1, host.Clean(head, 40), len(names), host.Clean(group, 40))
		}
		for i, name := range names {
			if err := add(counters, group, name, f[i+1]); err != nil {
				return err
			}
		}
		names = nil
	}
	if names != nil {
		return fmt.Errorf("%w: names of %q without values", errCounters, host.Clean(group, 40))
	}
	return nil
}

// parseSNMP6 reads /proc/net/snmp6: a name and its value a line, where the
// name begins with its group, Ip6InReceives (net/ipv6/proc.c).
func parseSNMP6(b []byte, counters map[string]int64) error {
	return parsePairs(b, func(name, value []byte) error {
		i := bytes.IndexByte(name, '6')
		if i < 0 {
			return fmt.Errorf("%w: %q", errCounters, host.Clean(name, 40))
		}
		return add(counters, name[:i+1], name[i+1:], value)
	})
}

// parseXfrmStat reads /proc/net/xfrm_stat: XfrmOutPolBlock and its value, one
// a line (net/xfrm/xfrm_proc.c).
func parseXfrmStat(b []byte, counters map[string]int64) error {
	return parsePairs(b, func(name, value []byte) error {
		return add(counters, []byte("Xfrm"), bytes.TrimPrefix(name, []byte("Xfrm")), value)
	})
}

func parsePairs(b []byte, each func(name, value []byte) error) error {
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			return fmt.Errorf("%w: line %q", errCounters, host.Clean(line, 80))
		}
		if err := each(f[0], f[1]); err != nil {
			return err
		}
	}
	return nil
}

// parseSockstat reads /proc/net/sockstat and sockstat6: a group, then names
// each with its value (sockstat_seq_show in net/ipv4/proc.c).
func parseSockstat(b []byte, counters map[string]int64) error {
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 0 {
			continue
		}
		group, ok := bytes.CutSuffix(f[0], []byte(":"))
		if !ok || len(f)%2 != 1 {
			return fmt.Errorf("%w: line %q", errCounters, host.Clean(line, 80))
		}
		for i := 1; i < len(f); i += 2 {
			if err := add(counters, []byte("Sockstat."+host.Clean(group, nameMax/2)), f[i], f[i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// named parses a line of numbers, of which each has a name or is left out.
func named(names ...string) func([]byte, map[string]int64) error {
	return func(b []byte, counters map[string]int64) error {
		f := bytes.Fields(b)
		if len(f) < len(names) {
			return fmt.Errorf("%w: %q, want %d numbers", errCounters, host.Clean(b, 80), len(names))
		}
		for i, name := range names {
			if name == "" {
				continue
			}
			group, name, _ := strings.Cut(name, ".")
			if err := add(counters, []byte(group), []byte(name), f[i]); err != nil {
				return err
			}
		}
		return nil
	}
}

// parseConntrackStat reads /proc/net/stat/nf_conntrack: names, and a line of
// hexadecimal numbers for each processor (ct_cpu_seq_show in
// net/netfilter/nf_conntrack_standalone.c). The first is no counter.
func parseConntrackStat(b []byte, counters map[string]int64) error {
	var names []string
	var sums []uint64
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if names == nil {
			names, sums = f, make([]uint64, len(f))
			continue
		}
		for i, v := range f {
			n, err := strconv.ParseUint(v, 16, 64)
			if err != nil || i >= len(names) {
				return fmt.Errorf("%w: %q", errCounters, host.Clean(line, 80))
			}
			sums[i] += n
		}
	}
	for i := 1; i < len(names); i++ {
		if err := add(counters, []byte("Conntrack"), []byte(names[i]), strconv.AppendUint(nil, min(sums[i], math.MaxInt64), 10)); err != nil {
			return err
		}
	}
	return nil
}
