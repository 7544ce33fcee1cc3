//go:build linux

package linux

import (
	"bytes"
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// sysctlFile is one file of sysctl.d(5).
type sysctlFile struct {
	path     string
	settings []sysctlSetting
}

// sysctlSetting is one line.
type sysctlSetting struct {
	path  string // below /proc/sys, with glob(7) characters
	value string
	line  int
	// skip: the line has no value, it only takes the key out of globs.
	skip bool
}

// sysctlFiles are in the order of application.
type sysctlFiles []sysctlFile

// foundSysctl is the setting that counts.
type foundSysctl struct {
	file  string
	line  int
	value string
}

// find tells which line sets a path. The last line that names it wins; only if
// none does, the last glob that matches (apply_all in systemd's
// src/sysctl/sysctl.c).
func (f sysctlFiles) find(key string) (found foundSysctl, ok bool) {
	named := false
	for _, file := range f {
		for _, s := range file.settings {
			glob := strings.ContainsAny(s.path, "*?[")
			switch {
			case !glob && s.path == key:
				named = true
			case glob && !named && !s.skip && matchSysctl(s.path, key):
			default:
				continue
			}
			found, ok = foundSysctl{file.path, s.line, s.value}, !s.skip
		}
	}
	return found, ok
}

func matchSysctl(pattern, key string) bool {
	// Go writes the complement of a class as [^, glob(7) as [!.
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), key)
	return ok && err == nil
}

// parseSysctl reads a file of sysctl.d(5): "key = value", a minus before what
// may fail, "-key" for what globs leave alone, comments by # or ;. Lines that
// are none of these are passed over, as systemd-sysctl does.
func parseSysctl(b []byte) []sysctlSetting {
	var list []sysctlSetting
	n := 0
	for line := range bytes.Lines(b) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		key, value, set := strings.Cut(text, "=")
		key, mayFail := strings.CutPrefix(strings.TrimSpace(key), "-")
		if !set && !mayFail {
			continue
		}
		path, ok := sysctlPath(strings.TrimSpace(key))
		if !ok {
			continue
		}
		list = append(list, sysctlSetting{path: path, line: n, skip: !set,
			value: sysctlValue(host.Clean([]byte(value), sysctlValueMax))})
	}
	return list
}
