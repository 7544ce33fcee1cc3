//go:build linux

package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// watched are the system calls by which a process changes more than itself.
const watched = "%file,sendto,sendmsg,setsockopt,kill,tkill,pidfd_send_signal,bpf,init_module,finit_module,delete_module,mount,umount2," +
	"fchmod,fchown,ftruncate,fsetxattr,sethostname,settimeofday"

var (
	callRE    = regexp.MustCompile(`^\d+ +(\w+)\((.*)`)
	messageRE = regexp.MustCompile(`nlmsg_len=(\d+), nlmsg_type=([\w|<]+)`)
	noneRE    = regexp.MustCompile(`^\d+, 0[,)]`) // a signal that only asks whether the process is there
	askingRE  = regexp.MustCompile(`GET|_LIST|_TEST|_HEADER|_PROTOCOL|_IPSET<<8\|0xe$|SOCK_DIAG_BY_FAMILY|NLMSG_(NOOP|DONE)`)
	bpfRE     = regexp.MustCompile(`^BPF_(\w*QUERY|\w*GET_(NEXT_ID|FD_BY_ID)|OBJ_GET\w*|MAP_LOOKUP\w*)`)
	openedRE  = regexp.MustCompile(`O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)`)
	ownRE     = regexp.MustCompile(`"/dev/(null|tty)"`)
)

// changes reports whether a line of strace is a call that changes the host.
func changes(line string) bool {
	m := callRE.FindStringSubmatch(line)
	if m == nil {
		return false // a signal, an exit, the end of a call
	}
	call, args := m[1], m[2]
	switch call {
	case "open", "openat", "openat2":
		return openedRE.MatchString(args) && !ownRE.MatchString(args)
	case "sendto", "sendmsg":
		for _, message := range messageRE.FindAllStringSubmatch(args, -1) {
			if !asking(message[2], message[1]) {
				return true
			}
		}
		return false
	case "setsockopt":
		return strings.Contains(args, "_SO_SET_") // of iptables: IPT_SO_SET_REPLACE
	case "kill", "tkill", "pidfd_send_signal":
		return !noneRE.MatchString(args)
	case "bpf":
		return !bpfRE.MatchString(args)
	case "access", "faccessat", "faccessat2", "stat", "lstat", "newfstatat", "fstatat64", "statx", "statfs", "readlink", "readlinkat", "execve", "execveat",
		"chdir", "getcwd", "getxattr", "lgetxattr", "listxattr", "llistxattr", "name_to_handle_at", "inotify_add_watch", "chroot":
		return false
	}
	return true
}

// asking reports whether a netlink message asks and changes nothing. In another
// network namespace strace has the number only: of those of rtnetlink every
// fourth from 18 asks (rtnetlink.h), and of sock_diag 18 and 20 (sock_diag.h). What
// xfrm has for asking, rtnetlink has with another length (xfrm.h). The upper byte
// is a part of nfnetlink. Of ipset strace has no name for GET_BYNAME, which is 0xe.
func asking(kind, length string) bool {
	digits, ok := strings.CutPrefix(kind, "0x")
	if !ok {
		return askingRE.MatchString(kind)
	}
	n, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return false
	}
	switch n >> 8 {
	case 0:
		return n >= 18 && n%4 == 2 || n == 20 || n == 21 && length == "80" || n == 40 && length == "20"
	case 1: // conntrack: IPCTNL_MSG_CT_GET
		return n&255 == 1
	case 6: // ipset: PROTOCOL, LIST, TEST, HEADER, GET_BYNAME
		return slices.Contains([]uint64{1, 7, 11, 12, 14}, n&255)
	case 10: // nftables: NFT_MSG_GET*
		return slices.Contains([]uint64{1, 4, 7, 10, 13, 16, 19, 23}, n&255)
	}
	return false
}

// writes asks the scenario's questions once more, and says by which system calls
// they would have changed the host.
func (r *run) writes(ctx context.Context) (wrong []string) {
	if _, err := exec.LookPath("strace"); err != nil || r.userNS {
		return nil
	}
	for _, s := range r.s.Steps {
		o := s.Options
		if s.Verb != "ask" && s.Verb != "check" || o.UID != "" || o.Seccomp != "" || o.Landlock != "" || o.NoFile != "" {
			continue // there strace itself is kept from its work
		}
		m := r.machines[s.Host]
		file := fmt.Sprintf("out/%d.strace", s.Line)
		argv := append([]string{"strace", "-f", "-qq", "-s", "200", "-e", "signal=none", "-e", "trace=" + watched, "-o", "/run/lab/" + file, "portwhy", "-o", "json"}, s.question()...)
		run := func(cmd *exec.Cmd) error { _, _, err := r.portwhy(cmd); return err }
		if s.Checks != nil {
			run = func(cmd *exec.Cmd) error { _, _, err := answerOf(cmd, ParseCheckAnswer); return err }
		}
		if err := run(m.command(ctx, o, "", argv)); err != nil {
			return append(wrong, fmt.Sprintf("line %d: under strace: %v", s.Line, err))
		}
		trace, err := os.Open(filepath.Join(m.dir, file))
		if err != nil {
			return append(wrong, fmt.Sprintf("line %d: under strace: %v", s.Line, err))
		}
		lines := bufio.NewScanner(trace)
		lines.Buffer(nil, 1<<20)
		n := 0
		for lines.Scan() {
			if n++; changes(lines.Text()) {
				wrong = append(wrong, fmt.Sprintf("line %d: portwhy %s changes the host: %s", s.Line, strings.Join(s.question(), " "), lines.Text()))
			}
		}
		if err := lines.Err(); err != nil || n < 20 {
			wrong = append(wrong, fmt.Sprintf("line %d: strace told %d calls: %v", s.Line, n, err))
		}
		trace.Close()
	}
	return wrong
}
