//go:build linux

package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// options of a socket before it is bound.
type options struct {
	network                                string
	v6only, freebind, reuseport, reuseaddr bool
	transparent                            bool
	device, md5, md5Peer                   string
	dropAll, passAll                       bool
	deferAccept, receiveBuffer, mark       int
}

func (o *options) flags(fs *flag.FlagSet) {
	fs.StringVar(&o.network, "net", "tcp", "tcp or udp")
	fs.BoolVar(&o.v6only, "v6only", false, "IPV6_V6ONLY")
	fs.BoolVar(&o.freebind, "freebind", false, "IP_FREEBIND")
	fs.BoolVar(&o.reuseport, "reuseport", false, "SO_REUSEPORT")
	fs.BoolVar(&o.reuseaddr, "reuseaddr", false, "SO_REUSEADDR")
	fs.BoolVar(&o.transparent, "transparent", false, "IP_TRANSPARENT")
	fs.StringVar(&o.device, "device", "", "SO_BINDTODEVICE")
	fs.IntVar(&o.mark, "mark", 0, "SO_MARK")
	fs.StringVar(&o.md5, "md5", "", "TCP_MD5SIG key")
	fs.StringVar(&o.md5Peer, "md5-peer", "0.0.0.0/0", "whom the key is for")
	fs.BoolVar(&o.dropAll, "drop-all", false, "attach a classic filter that drops everything")
	fs.BoolVar(&o.passAll, "pass-all", false, "attach a classic filter that lets everything pass")
	fs.IntVar(&o.deferAccept, "defer", 0, "TCP_DEFER_ACCEPT, seconds")
	fs.IntVar(&o.receiveBuffer, "rcvbuf", 0, "SO_RCVBUF, bytes")
}

// open makes a socket with the options and binds it.
func (o *options) open(at endpoint) (int, error) {
	fd, err := at.socket(o.network)
	if err != nil {
		return -1, err
	}
	level, free := unix.IPPROTO_IP, unix.IP_FREEBIND
	if at.family() == unix.AF_INET6 {
		level, free = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, toInt(o.v6only)); err != nil {
			return -1, fmt.Errorf("IPV6_V6ONLY: %w", err)
		}
	}
	set := []struct {
		wanted            bool
		name              string
		level, opt, value int
	}{
		{o.reuseaddr, "SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{o.reuseport, "SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{o.freebind, "IP_FREEBIND", level, free, 1},
		{o.transparent, "IP_TRANSPARENT", unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1},
		{o.deferAccept > 0, "TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, o.deferAccept},
		{o.mark != 0, "SO_MARK", unix.SOL_SOCKET, unix.SO_MARK, o.mark},
		{o.receiveBuffer > 0, "SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, o.receiveBuffer},
	}
	for _, s := range set {
		if !s.wanted {
			continue
		}
		if err := unix.SetsockoptInt(fd, s.level, s.opt, s.value); err != nil {
			return -1, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if o.device != "" {
		if err := unix.BindToDevice(fd, o.device); err != nil {
			return -1, fmt.Errorf("SO_BINDTODEVICE %s: %w", o.device, err)
		}
	}
	if o.md5 != "" {
		if err := setMD5(fd, o.md5, o.md5Peer); err != nil {
			return -1, err
		}
	}
	if o.dropAll || o.passAll {
		prog := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: uint32(toInt(o.passAll)) * 0xffff}}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &prog[0]}); err != nil {
			return -1, fmt.Errorf("SO_ATTACH_FILTER: %w", err)
		}
	}
	if err := at.bind(fd); err != nil {
		return -1, fmt.Errorf("bind: %w", err)
	}
	return fd, nil
}

// setMD5 demands a signature from the peers: TCP_MD5SIG_EXT with a prefix
// (include/uapi/linux/tcp.h, struct tcp_md5sig).
func setMD5(fd int, key, peers string) error {
	prefix, err := netip.ParsePrefix(peers)
	if err != nil {
		return err
	}
	sig := unix.TCPMD5Sig{Flags: unix.TCP_MD5SIG_FLAG_PREFIX, Prefixlen: uint8(prefix.Bits()), Keylen: uint16(len(key))}
	sig.Addr.Family = unix.AF_INET
	addr := prefix.Addr().As4()
	copy(sig.Addr.Data[2:], addr[:]) // struct sockaddr_in: the port comes first
	copy(sig.Key[:], key)
	if err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG_EXT, &sig); err != nil {
		return fmt.Errorf("TCP_MD5SIG: %w", err)
	}
	return nil
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// runListen listens and treats clients as -accept says.
func runListen(fs *flag.FlagSet, args []string) error {
	var o options
	o.flags(fs)
	backlog := fs.Int("backlog", 128, "of listen(2)")
	accept := fs.String("accept", "hold", "hold, never, once or close")
	banner := fs.String("banner", "", "sent after accept, with Go's escapes")
	reply := fs.String("reply", "", "sent after the first bytes came, then closed; with Go's escapes")
	think := fs.Duration("think", 0, "wait before the reply")
	fillFDs := fs.Int("nofile", 0, "limit descriptors to this many and use them all up")
	comm := fs.String("name", "", "process name")
	also := fs.String("also", "", "a second address to listen on")
	if err := fs.Parse(args); err != nil {
		return err
	}
	at, err := oneEndpoint(fs.Args())
	if err != nil {
		return err
	}
	for _, s := range []*string{banner, reply, comm} {
		if *s, err = strconv.Unquote(`"` + *s + `"`); err != nil {
			return fmt.Errorf("escapes: %w", err)
		}
	}
	if *comm != "" {
		if err := os.WriteFile("/proc/self/comm", []byte(*comm), 0); err != nil {
			return err
		}
	}
	ends := []endpoint{at}
	if *also != "" {
		second, err := parseEndpoint(*also)
		if err != nil {
			return err
		}
		ends = append(ends, second)
	}
	for i, end := range ends {
		fd, err := o.open(end)
		if err != nil {
			return err
		}
		if o.network == "udp" {
			go answer(fd, *reply)
			continue
		}
		if err := unix.Listen(fd, *backlog); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if i == len(ends)-1 && *fillFDs > 0 {
			if err := useUpDescriptors(uint64(*fillFDs)); err != nil {
				return err
			}
		}
		if *accept != "never" {
			go serve(fd, *accept, *banner, *reply, *think)
		}
	}
	return ready()
}

// serve accepts in a loop (once: one time). A failed accept is tried again as
// servers do, a little later.
func serve(fd int, how, banner, reply string, think time.Duration) {
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			_, _ = unix.Poll(nil, 100)
			continue
		}
		if how == "close" {
			_ = unix.Close(c)
			continue
		}
		if banner != "" {
			_, _ = unix.Write(c, []byte(banner))
		}
		go drain(c, reply, think)
		if how == "once" {
			return
		}
	}
}

// drain reads until the client ends; with a reply it answers once and closes.
func drain(c int, reply string, think time.Duration) {
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(c, buf)
		if err == unix.EINTR {
			continue
		}
		if n > 0 && reply != "" {
			time.Sleep(think)
			_, _ = unix.Write(c, []byte(reply))
			_ = unix.Shutdown(c, unix.SHUT_WR)
		}
		if n <= 0 || reply != "" {
			_ = unix.Close(c)
			return
		}
	}
}

// answer replies to each datagram; without a reply it only reads.
func answer(fd int, reply string) {
	buf := make([]byte, 4096)
	for {
		_, from, err := unix.Recvfrom(fd, buf, 0)
		if err == nil && reply != "" {
			_ = unix.Sendto(fd, []byte(reply), 0, from)
		}
	}
}

// useUpDescriptors lowers RLIMIT_NOFILE's soft limit and opens descriptors until it is reached.
func useUpDescriptors(limit uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return fmt.Errorf("RLIMIT_NOFILE: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: now.Max}); err != nil {
		return fmt.Errorf("RLIMIT_NOFILE: %w", err)
	}
	for {
		if _, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0); err == unix.EMFILE {
			return nil
		} else if err != nil {
			return fmt.Errorf("using up descriptors: %w", err)
		}
	}
}

// runBound holds a port and never listens on it.
func runBound(fs *flag.FlagSet, args []string) error {
	var o options
	o.flags(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	at, err := oneEndpoint(fs.Args())
	if err != nil {
		return err
	}
	if _, err := o.open(at); err != nil {
		return err
	}
	return ready()
}

// runStale leaves a unix socket's file behind, as a killed server does.
func runStale(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	at, err := oneEndpoint(fs.Args())
	if err != nil {
		return err
	}
	fd, err := (&options{network: "tcp"}).open(at)
	if err != nil {
		return err
	}
	if err := unix.Close(fd); err != nil {
		return err
	}
	return ready()
}
