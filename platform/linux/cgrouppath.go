//go:build linux

package linux

import (
	"bytes"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// membership is what /proc/PID/cgroup tells of a process.
type membership struct {
	path      string // of the unified hierarchy, or systemd's named one
	unified   string
	freezer   string // of the freezer of version 1
	unit      string
	userUnit  string
	container string
}

// parseMembership reads /proc/PID/cgroup (cgroups(7)): lines of hierarchy
// number, controllers and path.
func parseMembership(b []byte) membership {
	var m membership
	named := ""
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		number, rest, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || !strings.HasPrefix(path, "/") {
			continue
		}
		path = host.Clean([]byte(path), 4096)
		switch {
		case number == "0" && controllers == "":
			m.unified = path
		case controllers == "name=systemd":
			named = path
		}
		for controller := range strings.SplitSeq(controllers, ",") {
			if controller == "freezer" {
				m.freezer = path
			}
		}
		if m.container == "" {
			m.container = containerOf(path)
		}
	}
	// On hybrid systems the unified hierarchy may be there but not in use.
	m.path = m.unified
	if named != "" && (m.unified == "" || m.unified == "/") {
		m.path = named
	}
	m.unit, m.userUnit = unitOfPath(m.path)
	if m.unit != "" && containerOf("/"+m.unit) != "" {
		m.unit = ""
	}
	return m
}

// unitOfPath finds the unit that a group's path stands for, as systemd does
// (src/basic/cgroup-util.c, cg_path_get_unit): the first part that is no slice.
// Below a user's manager the same holds again for that user's units.
func unitOfPath(path string) (unit, userUnit string) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	unit, rest := firstUnit(parts)
	switch {
	case strings.HasPrefix(unit, "session-") && strings.HasSuffix(unit, ".scope"):
		return "", ""
	case strings.HasPrefix(unit, "user@") && strings.HasSuffix(unit, ".service"):
		if user, _ := firstUnit(rest); user != "" && user != "init.scope" {
			return "", user
		}
	}
	return unit, ""
}

func firstUnit(parts []string) (unit string, rest []string) {
	for i, part := range parts {
		part = strings.TrimPrefix(part, "_") // cg_unescape
		if part == ".." || strings.HasSuffix(part, ".slice") {
			continue
		}
		for _, suffix := range []string{".service", ".scope", ".socket", ".mount", ".swap"} {
			if name, ok := strings.CutSuffix(part, suffix); ok && name != "" && len(part) < 256 {
				return part, parts[i+1:]
			}
		}
		return "", nil
	}
	return "", nil
}

// containerPrefixes are what engines put before a container's id in the name
// of its group.
var containerPrefixes = []string{"docker", "libpod", "libpod-payload", "crio", "cri-containerd", "nerdctl", "containerd", "cri-o"}

// containerOf finds the id of the outermost container in a group's path:
// /docker/ID, docker-ID.scope, libpod-ID.scope/container, kubepods/pod…/ID,
// …:cri-containerd:ID. The monitors of a container (libpod-conmon-ID) are not
// in it.
func containerOf(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		part = strings.TrimSuffix(part, ".scope")
		if len(part) < idLength {
			continue
		}
		prefix, id := part[:len(part)-idLength], part[len(part)-idLength:]
		if !isContainerID(id) {
			continue
		}
		if prefix == "" {
			return id
		}
		// Without systemd, containerd writes slice:engine:ID.
		name := strings.TrimRight(prefix, "-:")
		if i := strings.LastIndexByte(name, ':'); i >= 0 {
			name = name[i+1:]
		}
		for _, p := range containerPrefixes {
			if name == p && name != prefix {
				return id
			}
		}
	}
	return ""
}

// idLength is that of a container id: a SHA-256 in hexadecimal.
const idLength = 64

func isContainerID(s string) bool {
	return len(s) == idLength && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'f')
	})
}

// containerOfMounts finds a container's id in its mount table, for engines
// whose groups can't be seen: /etc/hostname and /etc/resolv.conf are mounted
// from a directory that is named after the container (docker:
// /var/lib/docker/containers/ID/hostname, podman: …/overlay-containers/ID/userdata/hostname).
func containerOfMounts(b []byte) string {
	for line := range bytes.Lines(b) {
		if !bytes.Contains(line, []byte("containers/")) {
			continue // mount tables are long
		}
		m, _, _, ok := parseMountLine(string(line))
		if !ok {
			continue
		}
		switch m.path {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
		default:
			continue
		}
		parts := strings.Split(m.root, "/")
		for i := 1; i < len(parts); i++ {
			if isContainerID(parts[i]) && strings.HasSuffix(parts[i-1], "containers") {
				return parts[i]
			}
		}
	}
	return ""
}
