//go:build linux

package lab

import "testing"

func TestChanges(t *testing.T) {
	for line, want := range map[string]bool{
		`12 openat(AT_FDCWD, "/proc/net/tcp", O_RDONLY|O_CLOEXEC) = 3`:                                                              false,
		`12 openat(AT_FDCWD, "/dev/null", O_RDWR|O_CLOEXEC) = 3`:                                                                    false,
		`12 openat(AT_FDCWD, "/etc/hosts", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 3`:                                                     true,
		`12 unlinkat(AT_FDCWD, "/tmp/x", 0) = 0`:                                                                                    true,
		`12 mkdirat(AT_FDCWD, "/var/lib/portwhy", 0700) = 0`:                                                                        true,
		`12 newfstatat(AT_FDCWD, "/tmp/x", {}, 0) = 0`:                                                                              false,
		`12 sendto(3, [{nlmsg_len=20, nlmsg_type=NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_GETRULE, nlmsg_flags=NLM_F_REQUEST|NLM_F_DUMP}]`:   false,
		`12 sendto(3, [{nlmsg_len=20, nlmsg_type=NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_NEWRULE, nlmsg_flags=NLM_F_REQUEST|NLM_F_CREATE}]`: true,
		`12 sendto(3, [{nlmsg_len=20, nlmsg_type=RTM_NEWROUTE, nlmsg_flags=NLM_F_REQUEST}]`:                                         true,
		`12 sendto(3, [{nlmsg_len=20, nlmsg_type=RTM_GETROUTE, nlmsg_flags=NLM_F_REQUEST}]`:                                         false,
		`12 sendto(3, "hello", 5, 0, NULL, 0) = 5`:                                                                                  false,
		`12 setsockopt(3, SOL_IP, IPT_SO_SET_REPLACE, "", 84) = 0`:                                                                  true,
		`12 setsockopt(3, SOL_IP, IP_RECVERR, [1], 4) = 0`:                                                                          false,
		`12 bpf(BPF_PROG_QUERY, {}, 128) = 0`:                                                                                       false,
		`12 bpf(BPF_PROG_GET_NEXT_ID, {}, 128) = 0`:                                                                                 false,
		`12 bpf(BPF_PROG_LOAD, {}, 128) = 0`:                                                                                        true,
		`12 sendto(3, [{nlmsg_len=40, nlmsg_type=0x12 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST|0x300}]`:                           false,
		`12 sendto(3, [{nlmsg_len=40, nlmsg_type=0x18 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST|0x300}]`:                           true,
		`12 sendto(3, [{nlmsg_len=40, nlmsg_type=0xa07 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST|0x300}]`:                          false,
		`12 sendto(3, [{nlmsg_len=40, nlmsg_type=0xa06 /* NLMSG_??? */, nlmsg_flags=NLM_F_REQUEST|0x300}]`:                          true,
		`12 sendto(3, [{nlmsg_len=36, nlmsg_type=NFNL_SUBSYS_IPSET<<8|0xe /* IPSET_CMD_??? */, nlmsg_flags=NLM_F_REQUEST}]`:         false,
		`12 sendto(3, [{nlmsg_len=36, nlmsg_type=NFNL_SUBSYS_IPSET<<8|0x9 /* IPSET_CMD_??? */, nlmsg_flags=NLM_F_REQUEST}]`:         true,
		`12 pidfd_send_signal(11, 0, NULL, 0) = 0`:                                                                                  false,
		`12 pidfd_send_signal(11, SIGKILL, NULL, 0) = 0`:                                                                            true,
		`12 kill(99, SIGKILL) = 0`:      true,
		`12 finit_module(3, "", 0) = 0`: true,
		`12 <... openat resumed>) = 3`:  false,
		`12 +++ exited with 0 +++`:      false,
	} {
		if got := changes(line); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}
