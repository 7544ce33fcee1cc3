//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// namesLab makes a namespace with files of its own in /etc/netns, as
// ip-netns(8) has them.
func namesLab(t *testing.T, suffix string, files map[string]string) (string, *Host) {
	t.Helper()
	name, h := labNetNS(t, suffix)
	dir := filepath.Join("/etc/netns", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skipf("can't write %s: %v", dir, err)
	}
	t.Cleanup(func() {
		_ = os.RemoveAll(dir)
		_ = os.Remove("/etc/netns") // if it is empty
	})
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return name, h
}

// fakeDNS answers on 127.0.0.1:53 of a namespace. What it says depends on the
// name's first label.
func fakeDNS(t *testing.T, h *Host) *dnsLog {
	t.Helper()
	var packets net.PacketConn
	var streams net.Listener
	err := h.inNamespace(func() error {
		var err error
		if packets, err = net.ListenPacket("udp", "127.0.0.1:53"); err != nil {
			return err
		}
		streams, err = net.Listen("tcp", "127.0.0.1:53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close(); streams.Close() })
	log := &dnsLog{asked: make(chan string, 1000)}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			for _, reply := range log.reply(buffer[:n], "udp") {
				_, _ = packets.WriteTo(reply, from)
			}
		}
	}()
	go func() {
		for {
			conn, err := streams.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			if _, err := io.ReadFull(conn, length[:]); err == nil {
				question := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(conn, question); err == nil {
					for _, reply := range log.reply(question, "tcp") {
						_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
					}
				}
			}
			conn.Close()
		}
	}()
	return log
}

type dnsLog struct{ asked chan string }

// names returns what was asked so far, each name once.
func (l *dnsLog) names() []string {
	var list []string
	for {
		select {
		case name := <-l.asked:
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		default:
			return list
		}
	}
}

func (l *dnsLog) reply(question []byte, network string) [][]byte {
	var p dnsmessage.Parser
	header, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	name := strings.TrimSuffix(q.Name.String(), ".")
	l.asked <- name
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: header.ID, Response: true, RecursionAvailable: true}, Questions: []dnsmessage.Question{q}}
	address := func(owner string, last byte) {
		h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Class: dnsmessage.ClassINET, TTL: 1}
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: [4]byte{10, 9, 0, last}}})
		} else {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: last}}})
		}
	}
	alias := func(owner, to string) {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)},
		})
	}
	switch first, _, _ := strings.Cut(strings.ToLower(name), "."); first {
	case "both":
		address(q.Name.String(), 1)
	case "four":
		if q.Type == dnsmessage.TypeA {
			address(q.Name.String(), 4)
		}
	case "alias":
		alias(q.Name.String(), "A.b.")
		alias("a.B.", "c.d.")
		address("c.d.", 7)
		address("other.", 8) // nobody asked for that one
	case "loop":
		alias(q.Name.String(), "loop2.x.")
		alias("loop2.x.", q.Name.String())
	case "empty":
	case "broken":
		m.RCode = dnsmessage.RCodeServerFailure
	case "denied":
		m.RCode = dnsmessage.RCodeRefused
	case "odd":
		m.RCode = dnsmessage.RCodeNotImplemented
	case "silent":
		return nil
	case "many":
		if network == "udp" {
			m.Truncated = true
			break
		}
		for i := range 200 {
			address(q.Name.String(), byte(i))
		}
	case "forged":
		wrong := m
		wrong.ID++
		other := m
		other.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("x."), Type: q.Type, Class: q.Class}}
		address(q.Name.String(), 5)
		return [][]byte{{1, 2, 3}, pack(wrong), pack(other), question, pack(m)}
	case "cut":
		address(q.Name.String(), 6)
		whole := pack(m)
		return [][]byte{whole[:len(whole)-3]}
	default:
		m.RCode = dnsmessage.RCodeNameError
	}
	return [][]byte{pack(m)}
}

func pack(m dnsmessage.Message) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func TestResolveDNS(t *testing.T) {
	_, h := namesLab(t, "dns", map[string]string{
		"resolv.conf": "nameserver 127.0.0.1\nsearch lab.example\n", "nsswitch.conf": "hosts: files dns\n",
		"hosts": "10.1.1.1 known\n", "host.conf": "multi on\n", "gai.conf": "",
	})
	log := fakeDNS(t, h)
	for _, test := range []struct{ name, addresses, source, canonical, failure, asked string }{
		{"both.x", "[10.9.0.1 2001:db8::1]", "dns", "", "", "both.x"},
		{"both", "[10.9.0.1 2001:db8::1]", "dns", "both.lab.example", "", "both.lab.example"},
		{"BOTH.x.", "[10.9.0.1 2001:db8::1]", "dns", "", "", "BOTH.x"},
		{"four.x", "[10.9.0.4]", "dns", "", "", "four.x"},
		{"alias.x", "[10.9.0.7 2001:db8::7]", "dns", "", "", "alias.x"},
		{"forged.x", "[10.9.0.5 2001:db8::5]", "dns", "", "", "forged.x"},
		{"loop.x", "[]", "", "", "not-found", "loop.x loop.x.lab.example"},
		{"empty.x", "[]", "", "", "not-found", "empty.x empty.x.lab.example"},
		{"nx.x", "[]", "", "", "not-found", "nx.x nx.x.lab.example"},
		{"nx", "[]", "", "", "not-found", "nx.lab.example nx"},
		{"broken.x.", "[]", "", "", "temporary", "broken.x"},
		{"denied.x", "[]", "", "", "refused", "denied.x"},
		{"odd.x.", "[]", "", "", "temporary", "odd.x"},
		{"cut.x.", "[]", "", "", "temporary", "cut.x"},
		{"known", "[10.1.1.1]", "files", "", "", ""},
		{"localhost", "[::1 127.0.0.1]", "builtin", "", "", ""},
		{"a.LOCALHOST.", "[::1 127.0.0.1]", "builtin", "", "", ""},
		{"10.0.0.1", "[10.0.0.1]", "literal", "", "", ""},
		{"bad name", "[]", "", "", "not-found", ""},
		{"", "[]", "", "", "not-found", ""},
	} {
		r, err := h.Resolve(context.Background(), test.name)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		slices.SortFunc(r.Addresses, func(a, b netip.Addr) int { return strings.Compare(a.String(), b.String()) })
		want := strings.Fields(strings.Trim(test.addresses, "[]"))
		slices.Sort(want)
		var asked []string
		if asked = log.names(); fmt.Sprint(r.Addresses) != fmt.Sprint(want) || r.Source != test.source || r.Canonical != test.canonical || r.Error != test.failure || strings.Join(asked, " ") != test.asked {
			t.Errorf("%s: %+v after asking %v; want %+v", test.name, r, asked, test)
		}
		if r.Error != "" && (r.Detail == "" || test.asked != "" && r.Server != "127.0.0.1:53") {
			t.Errorf("%s: failed without a reason: %+v", test.name, r)
		}
	}
	if r, err := h.Resolve(context.Background(), "many.x"); err != nil || len(r.Addresses) != maxAddresses {
		t.Errorf("many: %d addresses, %v", len(r.Addresses), err)
	}
	// A server that says nothing is given up in time.
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	r, err := h.Resolve(ctx, "silent.x")
	if took := time.Since(start); err != nil || r.Error != "timeout" || r.Server != "127.0.0.1:53" || took > time.Second {
		t.Errorf("silent: %+v, %v after %v", r, err, took)
	}
}

func TestResolveServers(t *testing.T) {
	name, h := namesLab(t, "srv", map[string]string{"nsswitch.conf": "hosts: files mdns4_minimal [NOTFOUND=return] sss dns\n", "hosts": ""})
	conf := filepath.Join("/etc/netns", name, "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	resolve := func(name string) host.Resolution {
		t.Helper()
		r, err := h.Resolve(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// Nobody is there.
	write("nameserver 127.0.0.1\n")
	if r := resolve("both.x."); r.Error != "refused" || r.Server != "127.0.0.1:53" || !strings.Contains(r.Detail, "ECONNREFUSED") || !strings.Contains(r.Detail, "sss") {
		t.Errorf("nobody: %+v", r)
	}
	// No way there. No packet can leave: the namespace has loopback only.
	write("nameserver 192.0.2.1\n")
	if r := resolve("both.x."); !strings.HasPrefix(r.Error, "ENETUNREACH") || r.Server != "192.0.2.1:53" {
		t.Errorf("no way: %+v", r)
	}
	fakeDNS(t, h)
	// The first server refuses, the second answers.
	write("nameserver ::1\nnameserver 127.0.0.1\noptions use-vc\n")
	if r := resolve("both.x."); r.Error != "" || len(r.Addresses) != 2 {
		t.Errorf("second server: %+v", r)
	}
	// No server in the file: this host's own.
	write("")
	if r := resolve("both.x."); len(r.Addresses) != 2 {
		t.Errorf("default server: %+v", r)
	}
	// .local belongs to mdns, which is not asked; its absence must not end it.
	write("nameserver 127.0.0.1\n")
	if r := resolve("nx.local"); r.Error != "not-found" || !strings.Contains(r.Detail, "mdns4_minimal") {
		t.Errorf(".local: %+v", r)
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../run/nowhere/stub.conf", conf); err != nil {
		t.Fatal(err)
	}
	resolver, err := h.Resolver(context.Background())
	if err != nil || !resolver.Dangling || resolver.ConfFile != "/etc/netns/run/nowhere/stub.conf" || len(resolver.Nameservers) != 0 {
		t.Errorf("%+v, %v", resolver, err)
	}
}

func TestResolver(t *testing.T) {
	name, h := namesLab(t, "conf", map[string]string{
		"resolv.conf": "nameserver 127.0.0.53\noptions ndots:3\nsearch a b\n", "nsswitch.conf": "hosts: dns [!UNAVAIL=return] files\n", "hosts": "",
	})
	t.Setenv("http_proxy", "http://me:secret@proxy.example:3128")
	t.Setenv("NO_PROXY", "localhost")
	r, err := h.Resolver(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	dir := "/etc/netns/" + name
	if r.ConfFile != dir+"/resolv.conf" || r.HostsFile != dir+"/hosts" || r.NDots != 3 || fmt.Sprint(r.Search) != "[a b]" ||
		fmt.Sprint(r.HostsOrder) != "[dns [!UNAVAIL=return] files]" || len(r.Nameservers) != 1 || r.Nameservers[0].Line != 1 || r.Dangling {
		t.Errorf("%+v", r)
	}
	if r.Proxy["http_proxy"] != "http://proxy.example:3128" || r.Proxy["NO_PROXY"] != "localhost" {
		t.Errorf("proxy %v", r.Proxy)
	}
	// Another view of the same namespace, by another path, has the host's files.
	other := &Host{ns: os.NewFile(uintptr(openNS(t, "/run/netns/"+name)), "/proc/1/ns/net"), netns: h.netns}
	if files := other.resolverFiles(); files.hosts != "/etc/hosts" {
		t.Errorf("%+v", files)
	}
}

func openNS(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestMyHostname(t *testing.T) {
	name, h := namesLab(t, "mine", map[string]string{"nsswitch.conf": "hosts: files myhostname\n", "hosts": ""})
	own := nodeName()
	show := func() string {
		t.Helper()
		r, err := h.Resolve(context.Background(), own)
		if err != nil {
			t.Fatal(err)
		}
		return r.Source + " " + fmt.Sprint(r.Addresses)
	}
	if got := show(); got != "myhostname [::1 127.0.0.2]" {
		t.Error(got)
	}
	inLab(t, name, `
		link add d0 type veth peer name d1
		link set d1 up
		link set d0 up
		addr add 10.7.7.1/24 dev d0
	`)
	if got := show(); got != "myhostname [10.7.7.1]" {
		t.Error(got)
	}
	if r, err := h.Resolve(context.Background(), "x.localhost"); err != nil || r.Source != "myhostname" || r.Detail != "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestResolveAsGlibc compares with getent(1), which asks getaddrinfo(3), over
// hosts files, host.conf, gai.conf and addresses of the host.
func TestResolveAsGlibc(t *testing.T) {
	if _, err := exec.LookPath("getent"); err != nil {
		t.Skip("needs getent, of glibc")
	}
	name, h := namesLab(t, "glibc", map[string]string{"nsswitch.conf": "hosts: files\n", "resolv.conf": "", "gai.conf": "", "host.conf": ""})
	inLab(t, name, `
		link add d0 type veth peer name d1
		link set d1 up
		link set d0 up
		addr add 10.7.7.1/24 dev d0
		addr add 192.168.7.1/24 dev d0
		addr add 2001:db8:7::1/64 dev d0 nodad
		addr add fd00:7::1/64 dev d0 nodad
		route add default dev d0
		route add 2001:db8::/32 dev d0
	`)
	const hosts = `127.0.0.1 localhost
::1 localhost ip6-localhost
10.7.7.9 mixed a
2001:db8:7::9 mixed b
fd00:7::9 mixed
10.7.7.8 mixed
203.0.113.5 mixed
203.0.113.6 four
10.7.7.200 four
10.7.7.3 four
192.168.7.77 four
2001:db8:1::5 six
2001:db8:7:0:1::5 six
fd00:7::5 six
2002:c000:204::1 six
2a00::1 noway 
10.7.7.4 noway
127.0.0.1 order
192.168.7.9 order
10.7.7.9 order
169.254.3.3 order
::1 only6
::ffff:10.7.7.3 mapped
10.7.7.2 dup
10.7.7.2 dup
127.0.1.1 CaseName case.example
`
	if err := os.WriteFile("/etc/netns/"+name+"/hosts", []byte(hosts), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, hostConf := range []string{"multi on\n", "multi off\n"} {
		for _, gai := range []string{"", "precedence ::ffff:0:0/96 100\n", "label ::/0 1\nlabel fd00::/8 1\nprecedence ::/0 40\nprecedence ::1/128 50\n"} {
			for file, text := range map[string]string{"host.conf": hostConf, "gai.conf": gai} {
				if err := os.WriteFile("/etc/netns/"+name+"/"+file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, query := range []string{"localhost", "ip6-localhost", "mixed", "six", "noway", "four", "order", "only6", "mapped", "dup", "casename", "CASE.example", "a", "nobody", "localhost.", "127.1", "0x7f.2", "::1"} {
				r, err := h.Resolve(context.Background(), query)
				if err != nil {
					t.Fatal(err)
				}
				out, _ := exec.Command("ip", "netns", "exec", name, "getent", "ahosts", query).Output()
				var want []string
				for line := range strings.Lines(string(out)) {
					f := strings.Fields(line)
					if len(f) < 2 || f[1] != "STREAM" {
						continue
					}
					// ::ffff:10.0.0.1 is that IPv4 address.
					if address := netip.MustParseAddr(f[0]).Unmap().String(); !slices.Contains(want, address) {
						want = append(want, address)
					}
				}
				// What glibc does not know without a name server, Detail explains.
				if r.Source == "builtin" && len(want) == 0 && r.Detail != "" {
					continue
				}
				if got := fmt.Sprint(r.Addresses); got != fmt.Sprint(want) {
					t.Errorf("%q %q %s: %s, getaddrinfo says %v", hostConf, gai, query, got, want)
				}
			}
		}
	}
}

func FuzzReply(f *testing.F) {
	name := dnsmessage.MustNewName("alias.x.")
	question, err := newQuestion(7, name, dnsmessage.TypeA)
	if err != nil {
		f.Fatal(err)
	}
	log := &dnsLog{asked: make(chan string, 100)}
	for _, reply := range log.reply(question, "udp") {
		f.Add(reply)
	}
	f.Add(question)
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
			r, ok := parseReply(packet, 7, name, kind)
			if !ok && (r.failure != "" || r.addresses != nil) || len(r.addresses) > maxAddresses || r.failure != host.Clean([]byte(r.failure), 200) {
				t.Fatalf("%+v, %v", r, ok)
			}
		}
	})
}
