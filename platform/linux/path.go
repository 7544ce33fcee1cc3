//go:build linux

package linux

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// pathFact looks at the way to a unix socket: it is the first directory that
// this process may not search, or what lies at the path. It is nil for an
// abstract name, for a path that isn't there, and where a link leads to what is
// closed.
func pathFact(path string) *host.PathFact {
	if !strings.HasPrefix(path, "/") || len(path) > unixPathMax {
		return nil
	}
	last, seen := unix.Stat_t{}, "/"
	if unix.Stat("/", &last) != nil {
		return nil
	}
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != '/' || path[end-1] == '/' {
			continue
		}
		var st unix.Stat_t
		switch err := unix.Stat(path[:end], &st); {
		case err == nil:
			last, seen = st, path[:end]
		case err == unix.EACCES && unix.Lstat(path[:end], &st) == unix.EACCES:
			return newPathFact(seen, last)
		default:
			return nil
		}
	}
	return newPathFact(seen, last)
}

func newPathFact(path string, st unix.Stat_t) *host.PathFact {
	kinds := map[uint32]string{unix.S_IFSOCK: "socket", unix.S_IFREG: "file", unix.S_IFDIR: "directory"}
	kind, ok := kinds[st.Mode&unix.S_IFMT]
	if !ok {
		kind = "other"
	}
	return &host.PathFact{Path: host.Clean([]byte(path), unixPathMax), Kind: kind, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
}
