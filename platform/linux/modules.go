//go:build linux

package linux

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A moduleState says whether a part of the kernel can be asked without making
// the kernel load it.
type moduleState int

const (
	moduleUnknown moduleState = iota
	modulePresent             // built in, or loaded
	moduleAbsent              // a module that is not loaded
)

// ipSet is the kernel's module of ipset.
const ipSet = "ip_set"

// diagModules names, for each kind of sock_diag, for nftables and for ipset, its
// kernel configuration.
var diagModules = map[string]string{
	nfTables:    "CONFIG_NF_TABLES",
	ipSet:       "CONFIG_IP_SET",
	"tcp_diag":  "CONFIG_INET_TCP_DIAG",
	"udp_diag":  "CONFIG_INET_UDP_DIAG",
	"unix_diag": "CONFIG_UNIX_DIAG",
}

// moduleCache remembers what was found, because the last way to find it is slow.
type moduleCache struct {
	mu  sync.Mutex
	may map[string]bool
}

func (c *moduleCache) mayAsk(module string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	may, ok := c.may[module]
	if !ok {
		if c.may == nil {
			c.may = make(map[string]bool)
		}
		may = mayAsk(os.DirFS("/"), kernelRelease(), module)
		c.may[module] = may
	}
	return may
}

// mayAsk reports whether a request of this kind of sock_diag loads no module.
// sock_diag(7) itself would: __sock_diag_cmd calls request_module.
func mayAsk(root fs.FS, release, module string) bool {
	if noAutoload(root) {
		return true
	}
	return findModule(root, release, module) == modulePresent
}

// noAutoload: this kernel can't load modules by itself, so a request is only
// refused.
func noAutoload(root fs.FS) bool {
	if _, err := fs.Stat(root, "proc/modules"); err != nil {
		// Without CONFIG_MODULES there is no such file; but without a whole
		// /proc there is none either.
		_, err := fs.Stat(root, "proc/version")
		return err == nil
	}
	if b, err := fs.ReadFile(root, "proc/sys/kernel/modules_disabled"); err == nil && strings.TrimSpace(string(b)) == "1" {
		return true
	}
	b, err := fs.ReadFile(root, "proc/sys/kernel/modprobe")
	return err == nil && strings.TrimSpace(string(b)) == ""
}

// findModule looks where a module leaves traces, cheapest first. In a
// container without /lib/modules the kernel's own symbols decide.
func findModule(root fs.FS, release, module string) moduleState {
	if _, err := fs.Stat(root, "sys/module/"+module); err == nil {
		return modulePresent
	}
	for _, dir := range []string{"lib/modules/", "usr/lib/modules/"} {
		b, err := fs.ReadFile(root, dir+release+"/modules.builtin")
		if err != nil {
			continue
		}
		if bytes.Contains(b, []byte("/"+module+".ko")) {
			return modulePresent
		}
		return moduleAbsent
	}
	if state := configured(root, release, diagModules[module]); state != moduleUnknown {
		return state
	}
	if module == nfTables {
		return inSymbols(root, "nf_tables_abort")
	}
	return inSymbols(root, module+"_dump")
}

// configured reads the kernel's configuration: what is not built in is not
// loaded, because sys/module did not have it.
func configured(root fs.FS, release, option string) moduleState {
	var r io.Reader
	if file, err := root.Open("proc/config.gz"); err == nil {
		defer file.Close()
		if r, err = gzip.NewReader(file); err != nil {
			return moduleUnknown
		}
	} else if file, err := root.Open("boot/config-" + release); err == nil {
		defer file.Close()
		r = file
	} else {
		return moduleUnknown
	}
	lines := bufio.NewScanner(io.LimitReader(r, 4<<20))
	for lines.Scan() {
		if lines.Text() == option+"=y" {
			return modulePresent
		}
	}
	if lines.Err() != nil {
		return moduleUnknown
	}
	return moduleAbsent
}

// inSymbols reads /proc/kallsyms, whose names anyone may see: some 10 MB, so
// this is the last way.
func inSymbols(root fs.FS, symbol string) moduleState {
	file, err := root.Open("proc/kallsyms")
	if err != nil {
		return moduleUnknown
	}
	defer file.Close()
	found, any := moduleAbsent, false
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		any = true
		// ffffffff81a00000 t tcp_diag_dump	[tcp_diag]
		f := bytes.Fields(lines.Bytes())
		if len(f) >= 3 && string(f[2]) == symbol {
			return modulePresent
		}
	}
	if !any || lines.Err() != nil {
		return moduleUnknown
	}
	return found
}

// kernelRelease is the release of uname(2).
func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}
