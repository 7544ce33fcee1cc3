package xt_test

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/xtables"
)

var update = flag.Bool("update", false, "write testdata/recorded.txt from the kernel")

// TestKernel gives each line of lines.txt to iptables-legacy in a network
// namespace of its own and compares what the kernel then has, and what
// iptables-legacy-save writes, with recorded.txt.
func TestKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	for _, tool := range []string{"iptables-legacy-restore", "ip6tables-legacy-save", "ipset"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	// The thread is not given back: it ends with the goroutine, and the namespace with it.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	for _, set := range []string{"blue hash:ip", "green hash:ip,port", "red hash:ip,port,ip"} {
		for suffix, family := range map[string]string{"": "inet", "6": "inet6"} {
			name, kind, _ := strings.Cut(set, " ")
			if out, err := exec.Command("ipset", "create", name+suffix, kind, "family", family, "counters", "skbinfo").CombinedOutput(); err != nil {
				t.Skipf("ipset: %v: %s", err, out)
			}
		}
	}
	var want map[string][4]string
	if !*update {
		want = recorded(t)
	}
	var record strings.Builder
	for _, l := range lines(t) {
		got := kernel(l)
		if *update {
			fmt.Fprintf(&record, "%s\t%s\n", l, strings.Join(got[:], "\t"))
			if got[0] == "refused" {
				t.Logf("%s: %s", l, got[2])
			}
			continue
		}
		w := want[l.String()]
		if got[0] == "refused" && w[0] != "refused" {
			t.Logf("not compared, refused: %s: %s", l, got[2])
			continue
		}
		if got[0] != w[0] || got[1] != w[1] || got[2] != w[2] {
			t.Errorf("%s\n    got %s\n   want %s", l, got, w)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/recorded.txt", []byte(record.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// kernel is what the kernel has of a line: extension and revision, bytes, text,
// and where they are from.
func kernel(l line) [4]string {
	tool := map[rules.Family]string{rules.IP: "iptables-legacy", rules.IP6: "ip6tables-legacy"}[l.family]
	restore := exec.Command(tool + "-restore")
	restore.Stdin = strings.NewReader("*" + l.table + "\n-A " + l.chain + " " + l.rule + "\nCOMMIT\n")
	if out, err := restore.CombinedOutput(); err != nil {
		return [4]string{"refused", "", strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", " "), "-"}
	}
	saved, err := exec.Command(tool+"-save", "-t", l.table).Output()
	if err != nil {
		return [4]string{"refused", "", err.Error(), "-"}
	}
	marker := " -m "
	if l.target {
		marker = " -j "
	}
	_, text, _ := strings.Cut(string(saved), "\n-A "+l.chain+" ")
	text, _, _ = strings.Cut(" "+text, "\n")
	text = text[strings.LastIndex(text, marker)+1:]
	table, err := entries(l.family, l.table)
	if err != nil {
		return [4]string{"refused", "", err.Error(), "-"}
	}
	for _, e := range table.Chain(l.chain).Rules[0].Exprs.All() {
		m, ok := e.(*rules.Match)
		if target, is := e.(*rules.Target); is && l.target {
			m, ok = &rules.Match{Ext: target.Ext, Rev: target.Rev, Data: target.Data}, true
		} else if is || ok && l.target {
			continue
		}
		if ok && (m.Ext == l.name || l.name == "state" || l.name == "NOTRACK") {
			return [4]string{fmt.Sprintf("%s.%d", m.Ext, m.Rev), hex.EncodeToString(nameless(m)), text, "kernel"}
		}
	}
	return [4]string{"refused", "", "the kernel has no " + l.name, "-"}
}

// nameless has 0xffff for the numbers of ipsets, as what is read from text.
func nameless(m *rules.Match) []byte {
	d := append([]byte{}, m.Data...)
	switch m.Ext {
	case "set":
		binary.NativeEndian.PutUint16(d, 0xffff)
	case "SET":
		for i := 0; i < 12; i += 4 {
			binary.NativeEndian.PutUint16(d[i:], 0xffff)
		}
	}
	return d
}

// entries reads a table by IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES.
func entries(family rules.Family, table string) (*rules.Table, error) {
	domain, level := syscall.AF_INET, syscall.IPPROTO_IP
	if family == rules.IP6 {
		domain, level = syscall.AF_INET6, syscall.IPPROTO_IPV6
	}
	s, err := syscall.Socket(domain, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(s)
	info := make([]byte, 84)
	copy(info, table)
	if err := getsockopt(s, level, 64, info); err != nil {
		return nil, fmt.Errorf("read the info of %s: %w", table, err)
	}
	size := binary.NativeEndian.Uint32(info[80:])
	got := make([]byte, 40+int(size))
	copy(got, table)
	binary.NativeEndian.PutUint32(got[32:], size)
	if err := getsockopt(s, level, 65, got); err != nil {
		return nil, fmt.Errorf("read the entries of %s: %w", table, err)
	}
	return xtables.DecodeEntries(family, table, info, got[40:], nil)
}

func getsockopt(s, level, name int, b []byte) error {
	n := uint32(len(b))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(s), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
