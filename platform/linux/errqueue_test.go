//go:build linux

package linux

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// extendedErr makes a control message as the kernel queues it.
func extendedErr(level, kind int, reason unix.Errno, origin, icmpType, code byte, from []byte) []byte {
	data := binary.NativeEndian.AppendUint32(nil, uint32(reason))
	data = append(data, origin, icmpType, code, 0)
	data = append(append(data, make([]byte, 8)...), from...)
	b := binary.NativeEndian.AppendUint64(nil, uint64(unix.CmsgLen(len(data))))
	b = binary.NativeEndian.AppendUint32(b, uint32(level))
	b = binary.NativeEndian.AppendUint32(b, uint32(kind))
	b = append(b, data...)
	return append(b, make([]byte, unix.CmsgSpace(len(data))-len(b))...)
}

// family is a socket address's first field.
func family(f uint16) []byte { return binary.NativeEndian.AppendUint16(nil, f) }

func TestParseExtendedErr(t *testing.T) {
	inet := append(family(unix.AF_INET), 0, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
	ip6 := netip.MustParseAddr("fd77::2")
	inet6 := append(append(append(family(unix.AF_INET6), make([]byte, 6)...), ip6.AsSlice()...), 0, 0, 0, 0)
	const ip, ip6Level = unix.IPPROTO_IP, unix.IPPROTO_IPV6
	for _, c := range []struct {
		name string
		in   []byte
		want *host.ICMP
		err  unix.Errno
	}{
		{"ICMP", extendedErr(ip, unix.IP_RECVERR, unix.ECONNREFUSED, originICMP, 3, 3, inet), &host.ICMP{Version: 4, Type: 3, Code: 3, From: netip.MustParseAddr("10.0.0.1")}, unix.ECONNREFUSED},
		{"ICMPv6", extendedErr(ip6Level, unix.IPV6_RECVERR, unix.EACCES, originICMP6, 1, 1, inet6), &host.ICMP{Version: 6, Type: 1, Code: 1, From: ip6}, unix.EACCES},
		{"local", extendedErr(ip6Level, unix.IPV6_RECVERR, unix.EMSGSIZE, originLocal, 0, 0, inet6), &host.ICMP{Version: 6, Local: true}, unix.EMSGSIZE},
		{"after another message", append(extendedErr(ip, unix.IP_TTL, 0, 0, 0, 0, nil), extendedErr(ip, unix.IP_RECVERR, unix.ECONNREFUSED, originICMP, 3, 3, inet)...), &host.ICMP{Version: 4, Type: 3, Code: 3, From: netip.MustParseAddr("10.0.0.1")}, unix.ECONNREFUSED},
		{"sender not known", extendedErr(ip, unix.IP_RECVERR, unix.ECONNREFUSED, originICMP, 3, 3, family(unix.AF_UNSPEC)), &host.ICMP{Version: 4, Type: 3, Code: 3}, unix.ECONNREFUSED},
		{"sender cut", extendedErr(ip, unix.IP_RECVERR, unix.ECONNREFUSED, originICMP, 3, 3, inet[:6]), &host.ICMP{Version: 4, Type: 3, Code: 3}, unix.ECONNREFUSED},
		{"no sender", extendedErr(ip, unix.IP_RECVERR, unix.ECONNREFUSED, originICMP, 3, 3, nil), &host.ICMP{Version: 4, Type: 3, Code: 3}, unix.ECONNREFUSED},
		{"a timestamp", extendedErr(ip, unix.IP_RECVERR, unix.ENOMSG, 4, 0, 0, nil), nil, 0},
		{"cut", extendedErr(ip, unix.IP_RECVERR, unix.ECONNREFUSED, originICMP, 3, 3, inet)[:20], nil, 0},
		{"nothing", nil, nil, 0},
	} {
		got, err := parseExtendedErr(c.in)
		if err != c.err || (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, err, c.want, c.err)
		}
	}
}

func FuzzParseExtendedErr(f *testing.F) {
	f.Add(extendedErr(unix.IPPROTO_IP, unix.IP_RECVERR, unix.ECONNREFUSED, originICMP, 3, 3, append(family(unix.AF_INET), 0, 0, 10, 0, 0, 1)))
	f.Add(extendedErr(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.EACCES, originICMP6, 1, 1, append(family(unix.AF_INET6), make([]byte, 26)...)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseExtendedErr(b)
		if m == nil && err != 0 || m != nil && m.Version != 4 && m.Version != 6 {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
