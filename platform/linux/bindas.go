//go:build linux

package linux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/errno"
	"github.com/portwhy/portwhy/platform/host"
)

const (
	// bindChild is the name (argv[0]) under which this program only binds.
	bindChild = "portwhy-bind-child"
	// childTimeout bounds how long the child may take: starting this program.
	childTimeout = 10 * time.Second
	childSaysMax = 4096
	groupsMax    = 65536 // NGROUPS_MAX
)

// bindAs binds as another user, in a child process: this program again, with
// that user's rights and no capabilities. It must be called on a thread of the
// view's namespace, which the child inherits.
func bindAs(ctx context.Context, q host.BindQuery, uid uint32) (host.BindAttempt, error) {
	credential, err := credentialOf(uid)
	if err != nil {
		return host.BindAttempt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, childTimeout)
	defer cancel()
	// The child is told to end when its parent does, and for the kernel the
	// parent is the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var says limited
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{bindChild, q.Network, q.Address.String()}
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stdout = &says
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGKILL, Setsid: true}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return host.BindAttempt{}, fmt.Errorf("as user %d: run this program: %w", uid, err)
	}
	a, err := parseBindAttempt(says.Bytes())
	if err != nil {
		return host.BindAttempt{}, fmt.Errorf("as user %d: %w", uid, err)
	}
	return a, nil
}

// limited keeps the first bytes of what is written to it.
type limited struct{ bytes.Buffer }

// Write fails when there is too much.
func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > childSaysMax {
		return 0, io.ErrShortWrite
	}
	return l.Buffer.Write(b)
}

// parseBindAttempt reads what the child says. The child runs with the rights
// of another user, who could have tampered with it.
func parseBindAttempt(b []byte) (host.BindAttempt, error) {
	var a host.BindAttempt
	if err := json.Unmarshal(b, &a); err != nil {
		return host.BindAttempt{}, fmt.Errorf("answer of the child: %w", err)
	}
	for _, name := range []string{a.Errno, a.Plain, a.SocketErrno} {
		if name != "" && !errno.Valid(name) {
			return host.BindAttempt{}, fmt.Errorf("answer of the child: %.40q is no errno", name)
		}
	}
	if a.Elapsed < 0 || a.Elapsed > childTimeout {
		return host.BindAttempt{}, fmt.Errorf("answer of the child: it took %d ns", a.Elapsed)
	}
	return a, nil
}

// BindChild does the work of the child that [Host.Bind] starts, if this
// process is one: args are the whole os.Args. A program that calls Bind calls
// this first, and exits with status if it is handled.
func BindChild(args []string) (status int, handled bool) {
	if len(args) == 0 || args[0] != bindChild {
		return 0, false
	}
	if err := runBindChild(args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

func runBindChild(args []string, out io.Writer) error {
	if len(args) != 2 || args[0] != "tcp" && args[0] != "udp" {
		return errors.New("want tcp or udp, and an address")
	}
	address, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// This program's file may carry capabilities (setcap), which the user's own
	// programs don't have.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return json.NewEncoder(out).Encode(bind(host.BindQuery{Network: args[0], Address: address}))
}

// credentialOf is what login would give the user. One who is not in passwd(5)
// gets the group of the same number.
func credentialOf(uid uint32) (*syscall.Credential, error) {
	c := &syscall.Credential{Uid: uid, Gid: uid}
	users, err := readUserFile("/etc/passwd")
	if err != nil {
		return nil, err
	}
	name, gid, ok := userOf(users, uid)
	if !ok {
		return c, nil
	}
	c.Gid = gid
	groups, err := readUserFile("/etc/group")
	if err != nil {
		return nil, err
	}
	c.Groups = groupsOf(groups, name, gid)
	return c, nil
}

// readUserFile reads a file that need not exist.
func readUserFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, passwdMax))
}

// userOf finds the first line of passwd(5) with this number.
func userOf(b []byte, uid uint32) (name string, gid uint32, ok bool) {
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 4 || fields[0] == "" {
			continue
		}
		n, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil || uint32(n) != uid {
			continue
		}
		g, err := strconv.ParseUint(fields[3], 10, 32)
		if err != nil {
			continue
		}
		return fields[0], uint32(g), true
	}
	return "", 0, false
}

// groupsOf lists the user's groups of group(5), the own one first.
func groupsOf(b []byte, name string, gid uint32) []uint32 {
	groups := []uint32{gid}
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) != 4 {
			continue
		}
		g, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil || uint32(g) == gid || len(groups) == groupsMax {
			continue
		}
		for member := range strings.SplitSeq(fields[3], ",") {
			if member == name {
				groups = append(groups, uint32(g))
				break
			}
		}
	}
	return groups
}
