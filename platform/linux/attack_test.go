//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// tellHidden prints what is wrong with what a user sees of its parent where /proc
// hides other users' processes: nothing, and that it is so.
func tellHidden() {
	h, err := Open(Options{})
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	ctx := context.Background()
	port, _ := strconv.Atoi(os.Getenv("PORTWHY_TEST_PORT"))
	list, err := h.Sockets(ctx, host.SocketQuery{Network: "tcp", Port: uint16(port), States: []host.State{host.Listen}})
	if err != nil || len(list) != 1 {
		fmt.Println("sockets:", list, err)
		return
	}
	if held, err := h.Holders(ctx, host.HolderQuery{Inodes: []uint64{list[0].Inode}}); err != nil || len(held.BySocket) != 0 {
		fmt.Println("holders:", held, err)
	}
	if p, err := h.Process(ctx, os.Getppid()); !errors.Is(err, host.ErrNotFound) {
		fmt.Printf("process: %+v %v\n", p, err)
	}
	info, err := h.Info(ctx)
	if err != nil || !slices.ContainsFunc(info.Limits, func(l host.Limit) bool { return l.Why == "/proc is mounted with hidepid" }) {
		fmt.Printf("info: %+v %v\n", info, err)
	}
}

// Where /proc hides processes (hidepid=2), no owner is named, and the reason is.
func TestHidepid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount /proc and to become another user")
	}
	_, port, _ := listenTCP(t)
	var told []string
	onThreadOfItsOwn(func() {
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			t.Error(err)
			return
		}
		err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if err == nil {
			err = unix.Mount("proc", "/proc", "proc", 0, "hidepid=2")
		}
		if err != nil {
			t.Error(err)
			return
		}
		_, told = startHelper(t, "hidden", func(c *exec.Cmd) {
			c.Env = append(c.Env, "PORTWHY_TEST_PORT="+strconv.Itoa(int(port)))
			c.Dir = "/"
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		})
	})
	if len(told) != 0 {
		t.Errorf("as uid 65534: %s", strings.Join(told, "\n"))
	}
}

// Who holds the lock of iptables for ever keeps nobody from looking.
func TestLookingWaitsForNoLock(t *testing.T) {
	inOwnNamespace(t, func() {
		run(t, "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 7 -j DROP\nCOMMIT\n", "iptables-legacy-restore")
		lock, err := os.OpenFile("/run/xtables.lock", os.O_RDONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		defer lock.Close()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil || time.Now().After(end) {
				break
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
		h, err := Open(Options{})
		if err != nil {
			t.Error(err)
			return
		}
		began := time.Now()
		fw, err := h.Firewall(context.Background())
		if took := time.Since(began); err != nil || len(fw.Rules.Tables) != 1 || len(fw.Limits) > 0 || took > 5*time.Second {
			t.Errorf("%+v, %v in %v", fw, err, took)
		}
	})
}

// A configuration that leads to what is none gives no claim, and nothing of what
// stands there is kept.
func TestClaimsKeepNothingElse(t *testing.T) {
	const secret = "root:$6$s3cret$x:19000:0:99999:7:::\nPort s3cret\n"
	root := configRoot(t, map[string]string{
		"/etc/shadow":                   "",
		"/srv/shadow":                   secret,
		"/etc/nginx/nginx.conf":         "http { include sites-enabled/*; }",
		"/etc/haproxy/haproxy.cfg":      "->/srv/shadow",
		"/etc/redis/redis.conf":         "->/srv/shadow",
		"/etc/ssh/sshd_config":          "->/srv/shadow",
		"/etc/nginx/sites-enabled/x":    "->../../../srv/shadow",
		"/etc/systemd/system/a.service": "[Service]\nExecStart=/bin/a\nEnvironmentFile=/srv/shadow\n[Install]\nWantedBy=multi-user.target\n",
		"/etc/systemd/system/multi-user.target.wants/a.service": "->/etc/systemd/system/a.service",
	})
	got, err := readClaims(context.Background(), root, t.TempDir())
	if err != nil || strings.Contains(fmt.Sprintf("%+v", got), "s3cret") {
		t.Errorf("%+v, %v", got, err)
	}
}
