//go:build linux

package linux

import (
	"context"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/portwhy/portwhy/platform/config"
	"github.com/portwhy/portwhy/platform/host"
)

// unitDirs is where systemd looks for units, the first wins (systemd.unit(5),
// "unit file load path"). Units of generators name no ports of their own.
var unitDirs = []string{
	"/etc/systemd/system",
	"/run/systemd/transient",
	"/run/systemd/system",
	"/usr/local/lib/systemd/system",
	"/usr/lib/systemd/system",
	"/lib/systemd/system",
}

// unitFiles is what the directories of units hold.
type unitFiles struct {
	fragments map[string]string   // unit to path
	masked    map[string]bool     // unit to whether a link to /dev/null hides it
	dropIns   map[string][]string // unit to paths in order of their base names
	enabled   map[string]bool     // wanted or required by another, or has an alias
}

// unitClaims is what the units of this host name.
type unitClaims struct {
	claims []host.Claim
	mains  []mainFile
}

// units reads all services and sockets, whether or not systemd runs here.
func (t *configTree) units(ctx context.Context) unitClaims {
	files := t.unitFiles()
	names := make([]string, 0, len(files.fragments))
	for name := range files.fragments {
		// A template alone opens nothing; its instances are enabled by name.
		if !strings.HasSuffix(strings.TrimSuffix(name, filepath.Ext(name)), "@") && !files.systemdsOwn(name) {
			names = append(names, name)
		}
	}
	for name := range files.enabled {
		if _, own := files.fragments[name]; !own && templateOf(name) != "" && files.fragments[templateOf(name)] != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	results := make([]unitClaims, len(names))
	parallel(len(names), func(i int) {
		if ctx.Err() == nil {
			results[i] = t.unit(files, names[i])
		}
	})
	var all unitClaims
	for _, r := range results {
		all.claims = append(all.claims, r.claims...)
		all.mains = append(all.mains, r.mains...)
	}
	return all
}

// systemdsOwn reports whether the unit is a service of systemd itself as it
// was shipped. Those, half of all on a plain host, name no port: what listens
// for them is a socket unit, or a configuration of theirs.
func (f unitFiles) systemdsOwn(name string) bool {
	return strings.HasPrefix(name, "systemd-") && strings.HasSuffix(name, ".service") && len(f.dropIns[name]) == 0 &&
		(strings.HasPrefix(f.fragments[name], "/usr/lib/") || strings.HasPrefix(f.fragments[name], "/lib/"))
}

// unit reads one unit with its drop-ins.
func (t *configTree) unit(files unitFiles, name string) unitClaims {
	var read []config.File
	for _, path := range files.paths(name) {
		if file, ok := t.read(path); ok {
			read = append(read, file)
		}
	}
	unit := config.ParseUnit(name, read)
	result := unitClaims{claims: unit.Claims(t.reader)}
	disabled := files.masked[name] || unit.Installable && !files.enabled[name]
	for i := range result.claims {
		result.claims[i].Disabled = result.claims[i].Disabled || disabled
	}
	for _, exec := range unit.Exec {
		if kind, path := config.MainFile(exec.Args); path != "" && filepath.IsAbs(path) && !strings.ContainsAny(path, "$*?[") {
			result.mains = append(result.mains, mainFile{kind, filepath.Clean(path), name})
		}
	}
	return result
}

// paths returns the fragment of a unit and its drop-ins.
func (f unitFiles) paths(name string) []string {
	template := templateOf(name)
	fragment := f.fragments[name]
	if fragment == "" {
		fragment = f.fragments[template]
	}
	if fragment == "" {
		return nil
	}
	paths := append([]string{fragment}, f.dropIns[template]...)
	return append(paths, f.dropIns[name]...)
}

// templateOf returns foo@.service for foo@bar.service, or nothing.
func templateOf(name string) string {
	prefix, instance, ok := strings.Cut(name, "@")
	if extension := filepath.Ext(instance); ok && instance != extension {
		return prefix + "@" + extension
	}
	return ""
}

// unitFiles lists the directories.
func (t *configTree) unitFiles() unitFiles {
	files := unitFiles{
		fragments: map[string]string{}, masked: map[string]bool{},
		dropIns: map[string][]string{}, enabled: map[string]bool{},
	}
	dropIns := map[string]map[string]string{} // unit, base name: path
	for i, dir := range unitDirs {
		if i == len(unitDirs)-1 && sameFile(t.root+dir, t.root+unitDirs[i-1]) {
			continue
		}
		entries, err := os.ReadDir(t.root + dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			name := entry.Name()
			path := dir + "/" + name
			switch extension := filepath.Ext(name); extension {
			case ".service", ".socket":
				t.fragment(&files, entry, name, path)
			case ".d":
				unit := strings.TrimSuffix(name, ".d")
				if !strings.HasSuffix(unit, ".service") && !strings.HasSuffix(unit, ".socket") {
					continue
				}
				list, _ := os.ReadDir(t.root + path)
				for _, conf := range list {
					if filepath.Ext(conf.Name()) != ".conf" {
						continue
					}
					if dropIns[unit] == nil {
						dropIns[unit] = map[string]string{}
					}
					// The same name in an earlier directory hides it.
					if dropIns[unit][conf.Name()] == "" {
						dropIns[unit][conf.Name()] = path + "/" + conf.Name()
					}
				}
			case ".wants", ".requires", ".upholds":
				list, _ := os.ReadDir(t.root + path)
				for _, link := range list {
					files.enabled[link.Name()] = true
				}
			}
		}
	}
	for unit, byName := range dropIns {
		names := make([]string, 0, len(byName))
		for name := range byName {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			files.dropIns[unit] = append(files.dropIns[unit], byName[name])
		}
	}
	return files
}

// fragment takes one entry of a directory: a unit's file, a link that masks it,
// or another name for it.
func (t *configTree) fragment(files *unitFiles, entry os.DirEntry, name, path string) {
	if entry.Type()&os.ModeSymlink != 0 {
		target, err := os.Readlink(t.root + path)
		if err != nil {
			return
		}
		if target == "/dev/null" {
			if files.fragments[name] == "" {
				files.masked[name] = true
			}
			return
		}
		if base := filepath.Base(target); base != name && templateOf(name) != base {
			// An alias comes from [Install], unless the distribution ships it.
			if !strings.Contains(path, "/lib/") {
				files.enabled[base] = true
			}
			return
		}
	}
	if files.fragments[name] == "" {
		files.fragments[name] = path
	}
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
