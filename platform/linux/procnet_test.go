//go:build linux

package linux

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/portwhy/portwhy/platform/host"
)

func TestParseProcNet(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const line = "   0: 0100007F:1F90 00000000:0000 0A 00000001:00000002 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0"
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the lines are those of a little-endian machine")
	}
	var got []host.Socket
	if err := parseProcNet(strings.NewReader(heading+line+"\n"), parseTCPLine, func(s host.Socket) { got = append(got, s) }); err != nil {
		t.Fatal(err)
	}
	want := host.Socket{Network: "tcp", State: host.Listen, Local: netip.MustParseAddrPort("127.0.0.1:8080"),
		Remote: netip.MustParseAddrPort("0.0.0.0:0"), Queue: 2, Backlog: 1, UID: 1000, Inode: 4242}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	six, err := parseUDPLine("  1: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7 2 0000000000000000 0")
	if err != nil || six.Local != netip.MustParseAddrPort("[::1]:53") || six.State != host.Unconn {
		t.Errorf("%+v %v", six, err)
	}
	for _, bad := range [][2]string{
		{"0100007F:1F90", "0100007F"}, {"0100007F:1F90", "0100007:1F90"}, {"0100007F:1F90", "0100007F:1F90A"}, {"00000000:0000", "zz:0"},
		{" 0A ", " 7F "}, {" 0A ", " x "}, {"00000001:00000002", "00000001"}, {"00000001:00000002", "x:00000002"}, {" 1000 ", " -1 "},
		{" 4242 ", " inode "}, {line, "0: short"},
	} {
		in := strings.Replace(line, bad[0], bad[1], 1)
		if err := parseProcNet(strings.NewReader(heading+in+"\n"), parseTCPLine, func(host.Socket) {}); err == nil {
			t.Errorf("%q was taken", bad[1])
		}
	}
	if err := parseProcNet(strings.NewReader(heading+strings.Repeat("x", 2*procNetLine)), parseTCPLine, func(host.Socket) {}); err == nil {
		t.Error("an endless line was taken")
	}
}

func TestParseUnixLine(t *testing.T) {
	for _, c := range []struct {
		in   string
		want host.Socket
		bad  bool
	}{
		{"ffff8880: 00000002 00000000 00010000 0001 01 4242 /run/a b.sock", host.Socket{Network: "unix", State: host.Listen, Inode: 4242, Path: "/run/a b.sock"}, false},
		{"ffff8880: 00000003 00000000 00000000 0001 03   7 @abstract", host.Socket{Network: "unix", State: host.Estab, Inode: 7, Path: "@abstract"}, false},
		{"ffff8880: 00000003 00000000 00000000 0002 01 7", host.Socket{Network: "unix", State: host.Unconn, Inode: 7}, false},
		{"", host.Socket{}, true},
		{"ffff8880: 00000003 00000000 flags 0002 01 7", host.Socket{}, true},
		{"ffff8880: 00000003 00000000 00000000 0002 xx 7", host.Socket{}, true},
		{"ffff8880: 00000003 00000000 00000000 0002 01 seven", host.Socket{}, true},
	} {
		got, err := parseUnixLine(c.in)
		if c.bad != (err != nil) || !c.bad && got != c.want {
			t.Errorf("%q: got %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
}

// FuzzProcNet feeds the parsers of /proc/net.
func FuzzProcNet(f *testing.F) {
	f.Add("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1")
	f.Add("ffff8880: 00000002 00000000 00010000 0001 01 4242 /run/a b.sock")
	f.Add(hex.EncodeToString([]byte{0, 1, 2}))
	f.Fuzz(func(t *testing.T, line string) {
		for _, parse := range []func(string) (host.Socket, error){parseTCPLine, parseUDPLine, parseUnixLine} {
			if s, err := parse(line); err == nil && (s.State == "" || !utf8.ValidString(s.Path)) {
				t.Errorf("%q: %+v", line, s)
			}
		}
	})
}
