//go:build linux

package linux

import (
	"bytes"
	"os"
)

// movingFiles hold counters that only rise, as parseSNMP and its kin read them.
var movingFiles = [...]struct {
	path  string
	parse func([]byte, map[string]int64) error
}{
	{"/proc/thread-self/net/snmp", parseSNMP},
	{"/proc/thread-self/net/netstat", parseSNMP},
	{"/proc/thread-self/net/xfrm_stat", parseXfrmStat},
	{"/proc/thread-self/net/stat/nf_conntrack", parseConntrackStat},
}

// reading is the text of the counters at one moment; a file that can't be read
// is nil, and no reason not to probe. It is parsed only when two are compared.
type reading [len(movingFiles)][]byte

func (h *Host) moving() (r reading) {
	_ = h.inNamespace(func() error {
		for i, f := range movingFiles {
			r[i], _ = os.ReadFile(f.path)
		}
		return nil
	})
	return r
}

// moved says which counters rose between two readings, and by how much.
func moved(before, after reading) map[string]int64 {
	rose := map[string]int64{}
	for i, f := range movingFiles {
		if before[i] == nil || after[i] == nil || bytes.Equal(before[i], after[i]) {
			continue
		}
		old, now := map[string]int64{}, map[string]int64{}
		if f.parse(before[i], old) != nil || f.parse(after[i], now) != nil {
			continue
		}
		for name, n := range now {
			if d := n - old[name]; d > 0 {
				rose[name] = d
			}
		}
	}
	return rose
}
