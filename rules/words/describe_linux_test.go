package words_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules/words"
)

var (
	about  = regexp.MustCompile(`datatype (\S+) \(.*, (\d+) (bits|characters)`)
	symbol = regexp.MustCompile(`(?m)^\t(\S+)\s+(0x)?([0-9a-f]+)$`)
)

func describe(t *testing.T, words string) (kind string, bits int, symbols map[string]uint64) {
	t.Helper()
	out, err := exec.Command("nft", append([]string{"describe"}, strings.Fields(words)...)...).CombinedOutput()
	m := about.FindStringSubmatch(string(out))
	if err != nil || m == nil {
		t.Fatalf("nft describe %s: %v: %s", words, err, out)
	}
	bits, _ = strconv.Atoi(m[2])
	if m[3] == "characters" {
		bits *= 8
	}
	symbols = map[string]uint64{}
	for _, s := range symbol.FindAllStringSubmatch(string(out), -1) {
		base := 10
		if s[2] != "" {
			base = 16
		}
		if symbols[s[1]], err = strconv.ParseUint(s[3], base, 64); err != nil {
			t.Fatalf("nft describe %s: %q", words, s[0])
		}
	}
	return m[1], bits, symbols
}

// read is a field's name as nft reads it.
func read(expr string) string {
	for _, s := range words.ReadAs {
		expr = strings.Replace(expr, s.Printed, s.Read, 1)
	}
	return expr
}

// unread tells the fields that nft 1.0.6 prints but has no way to read.
func unread(o *words.Option, field string) bool {
	return o.Name == "rt0" && field == "reserved" || o.Op == 1 && field == "kind"
}

func needNFT(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
}

func check(t *testing.T, expr string, typ *words.Type, bits int) {
	t.Helper()
	name, have, symbols := describe(t, read(expr))
	if typ.Name != name || bits != have {
		t.Errorf("%s: have %s of %d bits, nft says %s of %d", expr, typ.Name, bits, name, have)
	}
	ours := map[string]uint64{}
	for _, s := range typ.Symbols {
		ours[s.Name] = s.Value
	}
	if typ == words.ClassID || typ == words.DevGroup || typ == words.Realm {
		return // nft prints these without naming them in its description
	}
	if fmt.Sprint(ours) != fmt.Sprint(symbols) {
		t.Errorf("%s: symbols are\n%v, nft says\n%v", expr, ours, symbols)
	}
}

func TestFieldsAreNFTs(t *testing.T) {
	needNFT(t)
	for _, h := range words.Headers {
		for _, f := range h.Fields {
			check(t, h.Name+" "+f.Name, f.Type, f.Bits)
		}
	}
	for prefix, options := range map[string][]*words.Option{
		"": words.ExtensionHeaders, "tcp option ": words.TCPOptions, "ip option ": words.IPOptions, "sctp chunk ": words.SCTPChunks,
	} {
		for _, o := range options {
			for _, f := range o.Fields {
				if unread(o, f.Name) {
					continue
				}
				if prefix == "tcp option " && (o.Name == "sack0" || o.Name == "sack2" || o.Name == "sack3") {
					continue // only their place is different, which the next test sees
				}
				check(t, prefix+o.Name+" "+f.Name, f.Type, f.Bits)
			}
		}
	}
}

func TestKeysAreNFTs(t *testing.T) {
	needNFT(t)
	for prefix, keys := range map[string][]words.Key{
		"meta ": words.MetaKeys, "rt ": words.RTKeys, "socket ": words.SocketKeys, "ipsec in ": words.IPsecKeys, "ct ": words.CTKeys,
	} {
		for _, k := range keys {
			expr := prefix + k.Name
			switch {
			case k.Name == "broute" || k.Name == "ibrhwaddr" || k.Type == nil || expr == "ct secmark" || strings.HasPrefix(k.Name, "proto-"):
				continue // nft 1.0.6 describes no such key
			case expr == "meta ipsec":
				expr = "ipsec" // deprecated and without a description of its own
				continue
			case expr == "socket cgroupv2":
				expr += " level 1"
			case prefix == "ct " && strings.Contains(k.Name, "addr"):
				expr = "ct original " + k.Name
			}
			check(t, expr, k.Type, k.Bits)
		}
	}
	for _, r := range words.FibResults {
		typ := words.FibResultTypes[uint32(r.Value)]
		check(t, "fib daddr . iif "+r.Name, typ, max(typ.Bits, map[bool]int{true: 128}[typ == words.String]))
	}
	for _, typ := range words.Types {
		if typ.Symbols == nil || typ == words.ARPOp || typ == words.EtherType {
			continue // nft swaps the bytes of these two where it names only the type
		}
		if _, err := exec.Command("nft", "describe", typ.Name).Output(); err != nil || typ == words.DevGroup || typ == words.Realm || typ.Name == "classid" ||
			typ == words.CTEvent || typ == words.InetProto {
			continue
		}
		check(t, typ.Name, typ, typ.Bits)
	}
}

// A field's place is where nft makes the kernel load it from.
func TestPlacesAreNFTs(t *testing.T) {
	needNFT(t)
	if os.Geteuid() != 0 {
		t.Skip("nft checks rules only as root")
	}
	if out, err := exec.Command("ip", "netns", "add", "hBwords").CombinedOutput(); err != nil {
		t.Skipf("no namespace can be made: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", "hBwords").Run() })
	load := regexp.MustCompile(`\[ (?:payload|exthdr) load (?:tcpopt |ipv4 |ipv6 |sctp )?(\d+)b @ (\S+)(?: header)? \+ (\d+) `)
	place := func(family, expr string, f *words.Field) {
		t.Helper()
		value := "0"
		if f.Type == words.IPv6Addr {
			value = "::"
		}
		text := fmt.Sprintf("add table %s t\nadd chain %s t c\nadd rule %s t c %s %s\n", family, family, family, read(expr), value)
		cmd := exec.Command("ip", "netns", "exec", "hBwords", "nft", "--debug=netlink", "-c", "-f", "-")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		all := load.FindAllStringSubmatch(string(out), -1)
		if err != nil || all == nil {
			t.Errorf("%s: %v: %s", expr, err, out)
			return
		}
		last := all[len(all)-1]
		length, _ := strconv.Atoi(last[1])
		offset, _ := strconv.Atoi(last[3])
		wantOffset := f.Offset / 8
		wantLength := (f.Offset+f.Bits+7)/8 - wantOffset
		if strings.HasPrefix(expr, "vlan ") {
			wantOffset += 14
		}
		if offset != wantOffset || length != wantLength {
			t.Errorf("%s: we say %d bytes at %d, nft loads %d at %d", expr, wantLength, wantOffset, length, offset)
		}
	}
	for _, h := range words.Headers {
		for i := range h.Fields {
			family := "inet"
			if h.Base == 0 || h.Name == "arp" {
				family = "bridge"
			}
			place(family, h.Name+" "+h.Fields[i].Name, &h.Fields[i])
		}
	}
	for prefix, options := range map[string][]*words.Option{
		"": words.ExtensionHeaders, "tcp option ": words.TCPOptions, "ip option ": words.IPOptions, "sctp chunk ": words.SCTPChunks,
	} {
		for _, o := range options {
			for i := range o.Fields {
				if unread(o, o.Fields[i].Name) {
					continue
				}
				place("inet", prefix+o.Name+" "+o.Fields[i].Name, &o.Fields[i])
			}
		}
	}
}
