//go:build linux

package linux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/portwhy/portwhy/platform/host"
)

// passwd is /etc/passwd as read at first need.
type passwd struct {
	once   sync.Once
	byName map[string]uint32
	byUID  map[uint32]string
	err    error
}

// passwdMax bounds what is read of /etc/passwd, and userNameMax a name.
const (
	passwdMax   = 8 << 20
	userNameMax = 256
)

func (p *passwd) load() error {
	p.once.Do(func() {
		file, err := os.Open("/etc/passwd")
		if errors.Is(err, os.ErrNotExist) {
			return // an image without users
		}
		if err != nil {
			p.err = err
			return
		}
		defer file.Close()
		p.byName, p.byUID, p.err = parsePasswd(io.LimitReader(file, passwdMax))
	})
	return p.err
}

// User finds the number of a user of /etc/passwd. A number needs no entry
// there. The error is [host.ErrNotFound] for an unknown name; users of other
// sources (LDAP, systemd's dynamic users) are known by number only.
func (h *Host) User(_ context.Context, name string) (uint32, error) {
	// The largest number is not a user: it means "unchanged" in setuid(2).
	if n, err := strconv.ParseUint(name, 10, 32); err == nil && n != 1<<32-1 {
		return uint32(n), nil
	}
	if err := h.names.load(); err != nil {
		return 0, fmt.Errorf("user %q: %w", name, err)
	}
	uid, ok := h.names.byName[name]
	if !ok {
		return 0, fmt.Errorf("user %q: %w", host.Clean([]byte(name), userNameMax), host.ErrNotFound)
	}
	return uid, nil
}

// userName is the name of a user, or the number.
func (h *Host) userName(uid uint32) string {
	if h.names.load() == nil {
		if name, ok := h.names.byUID[uid]; ok {
			return name
		}
	}
	return strconv.FormatUint(uint64(uid), 10)
}

// parsePasswd reads passwd(5). As in getpwnam(3), the first line that names a user or
// number counts, and lines that are not in the format are passed over.
func parsePasswd(r io.Reader) (byName map[string]uint32, byUID map[uint32]string, err error) {
	byName, byUID = make(map[string]uint32), make(map[uint32]string)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		f := strings.SplitN(lines.Text(), ":", 5)
		if len(f) < 4 || f[0] == "" || f[0][0] == '#' || f[0][0] == '+' || f[0][0] == '-' {
			continue
		}
		n, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		uid, name := uint32(n), f[0]
		if _, ok := byName[name]; !ok {
			byName[name] = uid
		}
		if _, ok := byUID[uid]; !ok {
			byUID[uid] = host.Clean([]byte(name), userNameMax)
		}
	}
	return byName, byUID, lines.Err()
}
