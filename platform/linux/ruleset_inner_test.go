//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// nlBytes writes an attribute; one with a number in network order is nl32.
func nlBytes(kind uint16, values ...[]byte) []byte {
	v := slices.Concat(values...)
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(v)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), v...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

func nl32(kind uint16, n uint32) []byte { return nlBytes(kind, binary.BigEndian.AppendUint32(nil, n)) }

func nlText(kind uint16, s string) []byte { return nlBytes(kind, []byte(s), []byte{0}) }

// nftExpr is NFTA_LIST_ELEM with an expression.
func nftExpr(name string, data ...[]byte) []byte {
	return nlBytes(1|unix.NLA_F_NESTED, nftExprBody(name, data...))
}

func nftExprBody(name string, data ...[]byte) []byte {
	return append(nlText(1, name), nlBytes(2|unix.NLA_F_NESTED, data...)...)
}

// loadExpressions makes table ip t with a chain at input that has one rule. nft
// 1.0.6 has no words for what it is to hold.
func loadExpressions(t *testing.T, exprs ...[]byte) bool {
	t.Helper()
	var batch []byte
	add := func(kind, flags uint16, family byte, resource uint16, body ...[]byte) {
		b := slices.Concat(append([][]byte{{family, 0, byte(resource >> 8), byte(resource)}}, body...)...)
		head := binary.NativeEndian.AppendUint32(nil, uint32(16+len(b)))
		head = binary.NativeEndian.AppendUint16(head, kind)
		head = binary.NativeEndian.AppendUint16(head, unix.NLM_F_REQUEST|flags)
		batch = append(append(append(batch, head...), make([]byte, 8)...), b...)
	}
	const nft = unix.NFNL_SUBSYS_NFTABLES << 8
	table := nlText(1, "t")
	add(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	add(nft|unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, 2, 0, table)
	add(nft|unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, 2, 0, table, nlText(3, "c"), nlBytes(4|unix.NLA_F_NESTED, nl32(1, 1), nl32(2, 0)), nlText(7, "filter"))
	add(nft|unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND|unix.NLM_F_ACK, 2, 0, table, nlText(2, "c"), nlBytes(4|unix.NLA_F_NESTED, exprs...))
	add(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Error(err)
		return false
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Error(err)
		return false
	}
	b := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil || n < 20 || binary.NativeEndian.Uint32(b[16:]) != 0 {
		if n >= 20 {
			err = unix.Errno(-int32(binary.NativeEndian.Uint32(b[16:])))
		}
		t.Error(fmt.Errorf("load expressions: %w", err))
		return false
	}
	return true
}

// What rules find in tunnels is what the kernel finds there.
func TestInnerVerdictsAreTheKernels(t *testing.T) {
	inner := func(kind, flags uint32, expr []byte) []byte {
		return nftExpr("inner", nl32(1, 0), nl32(2, kind), nl32(3, flags), nl32(4, 8), nlBytes(5|unix.NLA_F_NESTED, expr))
	}
	payload := func(base, offset, n uint32) []byte {
		return nftExprBody("payload", nl32(1, 1), nl32(2, base), nl32(3, offset), nl32(4, n))
	}
	meta := func(key uint32) []byte { return nftExprBody("meta", nl32(1, 1), nl32(2, key)) }
	is := func(b ...byte) []byte {
		return nftExpr("cmp", nl32(1, 1), nl32(2, 0), nlBytes(3|unix.NLA_F_NESTED, nlBytes(1, b)))
	}
	drop := nftExpr("immediate", nl32(1, 0), nlBytes(2|unix.NLA_F_NESTED, nlBytes(2|unix.NLA_F_NESTED, nl32(1, 0))))
	vxlan, ether := []byte{8, 0, 0, 0, 0, 0, 7, 0}, append(bytes.Repeat([]byte{2}, 12), 8, 0)
	inside := udp("10.0.0.1", "10.0.0.2")
	inside6 := append([]byte{0x60, 0, 0, 0, 0, 8, 17, 64}, make([]byte, 40)...)
	inside6[41] = 9
	of6 := append(bytes.Repeat([]byte{2}, 12), 0x86, 0xdd)
	vlan := append(bytes.Repeat([]byte{2}, 12), 0x81, 0, 0, 5, 8, 0)
	fragment := bytes.Clone(inside)
	fragment[7] = 1
	geneve := []byte{1, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 4}
	for _, c := range []struct {
		name  string
		body  []byte
		exprs [][]byte
	}{
		{"vni", slices.Concat(vxlan, ether, inside), [][]byte{inner(1, 15, payload(4, 4, 3)), is(0, 0, 7)}},
		{"another vni", slices.Concat(vxlan, ether, inside), [][]byte{inner(1, 15, payload(4, 4, 3)), is(0, 0, 8)}},
		{"protocol", slices.Concat(vxlan, ether, inside), [][]byte{inner(1, 15, meta(1)), is(8, 0)}},
		{"protocol with a VLAN", slices.Concat(vxlan, vlan, inside), [][]byte{inner(1, 15, meta(1)), is(0x81, 0)}},
		{"address behind a VLAN", slices.Concat(vxlan, vlan, inside), [][]byte{inner(1, 15, payload(1, 12, 4)), is(10, 0, 0, 1)}},
		{"transport protocol", slices.Concat(vxlan, ether, inside), [][]byte{inner(1, 15, meta(16)), is(17)}},
		{"transport protocol of a fragment", slices.Concat(vxlan, ether, fragment), [][]byte{inner(1, 15, meta(16)), is(17)}},
		{"port", slices.Concat(vxlan, ether, inside), [][]byte{inner(1, 15, payload(2, 2, 2)), is(0x13, 0x89)}},
		{"port over IPv6", slices.Concat(vxlan, of6, inside6), [][]byte{inner(1, 15, payload(2, 0, 2)), is(0, 9)}},
		{"link header", slices.Concat(vxlan, ether, inside), [][]byte{inner(1, 15, payload(0, 0, 2)), is(2, 2)}},
		{"no link header", slices.Concat(vxlan, inside), [][]byte{inner(3, 13, payload(0, 0, 2)), is(2, 2)}},
		{"no link header, its address", slices.Concat(vxlan, inside), [][]byte{inner(3, 13, payload(1, 16, 4)), is(10, 0, 0, 2)}},
		{"cut off", slices.Concat(vxlan, ether[:9]), [][]byte{inner(1, 15, meta(1)), is(8, 0)}},
		{"an option of geneve", slices.Concat(geneve, ether, inside), [][]byte{inner(2, 15, payload(1, 12, 4)), is(10, 0, 0, 1)}},
		{"only a transport header", []byte{1, 2, 3, 4}, [][]byte{inner(3, 8, payload(2, 2, 2)), is(3, 4)}},
		{"inner header", []byte{1, 2, 3, 4}, [][]byte{nlBytes(1|unix.NLA_F_NESTED, payload(3, 1, 2)), is(2, 3)}},
	} {
		inOwnNamespace(t, func() {
			run(t, "", "ip", "link", "set", "lo", "up")
			if !loadExpressions(t, append(c.exprs, drop)...) {
				return
			}
			h, err := Open(Options{})
			if err != nil {
				t.Error(err)
				return
			}
			set, err := everything(h)
			if err != nil {
				t.Error(err)
				return
			}
			d := append(udp("127.0.0.1", "127.0.0.1")[:28], c.body...)
			binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
			binary.BigEndian.PutUint16(d[24:], uint16(len(d)-20))
			got := eval.Compile(set, loopbackOnly).Trace(eval.Through, &eval.Packet{Family: rules.IP, Data: d, Out: "lo", OutIndex: 1})
			l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5001})
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			s, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6001}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5001})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Write(c.body); err != nil {
				t.Error(err)
			}
			l.SetReadDeadline(time.Now().Add(waitFor(got.Verdict)))
			_, err = l.Read(make([]byte, 256))
			if got.Verdict == eval.Unknown || (got.Verdict == eval.Accept) != (err == nil) {
				t.Errorf("%s: the verdict is %q, arrived: %v, doubts: %v", c.name, got.Verdict, err == nil, got.Doubts)
			}
		})
	}
}
