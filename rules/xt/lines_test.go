package xt_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/xt"
)

// line is one of testdata/lines.txt, for one family.
type line struct {
	family       rules.Family
	table, chain string
	rule         string
	target       bool
	name         string
	args         []string
	proto        uint16
}

func (l line) String() string {
	return l.family.String() + " " + l.table + " " + l.chain + " " + l.rule
}

// words splits at blanks outside double quotes, as iptables-restore does.
func words(s string) []string {
	var out []string
	word, open, quoted := "", false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted && i+1 < len(s):
			i++
			word += s[i : i+1]
		case c == '"':
			quoted, open = !quoted, true
		case c == ' ' && !quoted:
			if open {
				out = append(out, word)
			}
			word, open = "", false
		default:
			word, open = word+string(c), true
		}
	}
	if open {
		out = append(out, word)
	}
	return out
}

var protocols = map[string]uint16{"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "sctp": 132, "dccp": 33, "esp": 50, "ah": 51, "ipcomp": 108, "mh": 135}

func lines(t *testing.T) []line {
	text, err := os.ReadFile("testdata/lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []line
	for s := range strings.Lines(string(text)) {
		s = strings.TrimSuffix(s, "\n")
		if s == "" || s[0] == '#' {
			continue
		}
		f := strings.SplitN(s, " ", 4)
		l := line{table: f[1], chain: f[2], rule: f[3]}
		w := words(f[3])
		for i, word := range w {
			switch word {
			case "-p":
				l.proto = protocols[w[i+1]]
			case "-m", "-j":
				l.target, l.name, l.args = word == "-j", w[i+1], w[i+2:]
			}
		}
		for digit, family := range map[string]rules.Family{"4": rules.IP, "6": rules.IP6} {
			if strings.Contains(f[0], digit) {
				l.family = family
				out = append(out, l)
			}
		}
	}
	return out
}

// extension is what a line's extension became: as a match, or a target.
type extension struct {
	ext  string
	rev  uint8
	data []byte
	sets []string
}

func (l line) parse() (extension, int, error) {
	if l.target {
		x, n, err := xt.ParseTarget(l.family, l.name, l.args, l.proto)
		return extension{x.Ext, x.Rev, x.Data, x.Sets}, n, err
	}
	x, n, err := xt.ParseMatch(l.family, l.name, l.args, l.proto)
	return extension{x.Ext, x.Rev, x.Data, x.Sets}, n, err
}

func (l line) text(x extension) (string, bool) {
	if l.target {
		return xt.TargetText(l.family, &rules.Target{Ext: x.ext, Rev: x.rev, Data: x.data, Sets: x.sets})
	}
	return xt.MatchText(l.family, &rules.Match{Ext: x.ext, Rev: x.rev, Data: x.data, Sets: x.sets})
}

func recorded(t *testing.T) map[string][4]string {
	text, err := os.ReadFile("testdata/recorded.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][4]string{}
	for s := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(s, "\n"), "\t")
		if len(f) == 5 {
			out[f[0]] = [4]string(f[1:])
		}
	}
	return out
}

// unsaid are rules of which iptables-save itself writes less than the kernel has.
var unsaid = map[string]bool{"-p tcp -m tcp ! --dport 0:65535": true, "-p icmp -m icmp --icmp-type 255/3": true,
	// Of an IPv4 mask that is given only 4 of the 16 bytes are set, of the default all.
	"-m recent --set": true, "-m recent --rcheck --seconds 60 --hitcount 4 --name SSH --rsource": true,
	"-m recent ! --update --seconds 60 --reap --rttl --rdest": true, "-m recent --remove --name x --rdest": true,
	"-m connlimit --connlimit-above 5": true}

// TestRecorded holds each line of lines.txt to what the kernel kept and
// iptables-save wrote for it (recorded.txt, of x86-64, iptables 1.8.9).
func TestRecorded(t *testing.T) {
	want := recorded(t)
	for _, l := range lines(t) {
		w, ok := want[l.String()]
		if !ok {
			t.Errorf("%s: not recorded", l)
			continue
		}
		if w[0] == "refused" {
			continue
		}
		x, n, err := l.parse()
		if err != nil || n != len(l.args) {
			t.Errorf("%s: took %d of %d words: %v", l, n, len(l.args), err)
			continue
		}
		got, ok := l.text(x)
		if !ok || got != w[2] {
			t.Errorf("%s\n   text %s\n   want %s", l, got, w[2])
		}
		if h := hex.EncodeToString(x.data); h != w[1] || x.ext+"."+string('0'+rune(x.rev)) != w[0] {
			t.Errorf("%s\n  bytes %s.%d %s\n   want %s %s", l, x.ext, x.rev, h, w[0], w[1])
		}
		again := l
		again.args = words(got)[2:]
		if y, _, err := again.parse(); err != nil || string(y.data) != string(x.data) && !unsaid[l.rule] {
			t.Errorf("%s: read again %x, %v", l, y.data, err)
		}
	}
}
