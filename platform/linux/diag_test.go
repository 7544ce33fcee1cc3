//go:build linux

package linux

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// diagReply is an inet_diag_msg of a listener on 127.0.0.1:8080.
func diagReply(attributes ...[]byte) []byte {
	b := make([]byte, inetDiagMessage)
	b[0], b[1] = unix.AF_INET, 10
	binary.BigEndian.PutUint16(b[4:], 8080)
	copy(b[8:], []byte{127, 0, 0, 1})
	binary.NativeEndian.PutUint32(b[60:], 128)
	binary.NativeEndian.PutUint32(b[68:], 4242)
	for _, a := range attributes {
		b = append(b, a...)
	}
	return b
}

func diagAttribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(append(b, value...), make([]byte, align4(len(value))-len(value))...)
}

func TestParseInetDiag(t *testing.T) {
	base := host.Socket{Network: "tcp", State: host.Listen, Local: netip.MustParseAddrPort("127.0.0.1:8080"), Remote: netip.MustParseAddrPort("0.0.0.0:0"), Backlog: 128, Inode: 4242}
	with := func(change func(*host.Socket)) host.Socket { s := base; change(&s); return s }
	for _, c := range []struct {
		name string
		in   []byte
		want host.Socket
		bad  bool
	}{
		{"bare", diagReply(), base, false},
		{"v6only", diagReply(diagAttribute(inetDiagSkV6Only, 1)), with(func(s *host.Socket) { s.V6Only = true }), false},
		{"md5", diagReply(diagAttribute(inetDiagMD5Sig, 2, 0, 0, 0)), with(func(s *host.Socket) { s.MD5 = true }), false},
		{"options", diagReply(diagAttribute(inetDiagSockOpt, 0x24, 0)), with(func(s *host.Socket) { s.FreeBind, s.Transparent = true, true }), false},
		{"cgroup", diagReply(diagAttribute(inetDiagCgroupID, nativeBytes(99)...)), with(func(s *host.Socket) { s.CgroupID = 99 }), false},
		{"unknown attribute", diagReply(diagAttribute(999, 1, 2, 3)), base, false},
		{"short info", diagReply(diagAttribute(inetDiagInfo, 1, 2, 3)), base, false},
		{"short message", diagReply()[:71], host.Socket{}, true},
		{"family", append([]byte{99}, diagReply()[1:]...), host.Socket{}, true},
		{"state", append([]byte{unix.AF_INET, 77}, diagReply()[2:]...), host.Socket{}, true},
		{"short v6only", diagReply(diagAttribute(inetDiagSkV6Only)), host.Socket{}, true},
		{"short mark", diagReply(diagAttribute(inetDiagMark, 1)), host.Socket{}, true},
		{"short cgroup", diagReply(diagAttribute(inetDiagCgroupID, 1)), host.Socket{}, true},
		{"short memory", diagReply(diagAttribute(inetDiagSkMemInfo, 1)), host.Socket{}, true},
		{"attribute of no length", diagReply([]byte{0, 0, 1, 0}), host.Socket{}, true},
		{"attribute beyond the end", diagReply([]byte{99, 0, 1, 0}), host.Socket{}, true},
		{"half an attribute", diagReply([]byte{4}), host.Socket{}, true},
	} {
		var got host.Socket
		err := parseInetDiag(&got, unix.IPPROTO_TCP, c.in)
		if c.bad != (err != nil) || !c.bad && got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func FuzzInetDiag(f *testing.F) {
	f.Add(diagReply())
	f.Add(diagReply(diagAttribute(inetDiagSkV6Only, 1), diagAttribute(inetDiagInfo, make([]byte, 240)...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			var s host.Socket
			if err := parseInetDiag(&s, protocol, b); err == nil && (s.State == "" || !s.Local.Addr().IsValid()) {
				t.Errorf("%x: %+v", b, s)
			}
		}
	})
}

func FuzzUnixDiag(f *testing.F) {
	f.Add(append(make([]byte, unixDiagMessage), diagAttribute(unixDiagName, []byte("/run/x\x00")...)...))
	f.Add(append(make([]byte, unixDiagMessage), diagAttribute(unixDiagVFS, make([]byte, 8)...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseUnixDiag(b); err == nil && (!utf8.ValidString(s.Path) || len(s.Path) > 5*unixPathMax) {
			t.Errorf("%x: %+v", b, s)
		}
	})
}
