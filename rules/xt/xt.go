// Package xt holds the extensions of iptables(8): between the words that
// iptables-save writes and the structures that the kernel keeps (xt_tcpudp.h,
// xt_conntrack.h, …).
//
// An extension is an entry of a table: its size and its options, each with the
// place of its value and the bit that inverts it. The order of the options is
// the order in which iptables-save 1.8.9 prints them. The structures are laid
// out as on 64-bit machines. Decode functions (DecodeTCP, DecodeConntrack, …)
// give a structure's fields as a Go struct.
package xt

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// extension is one revision of a match or target.
type extension struct {
	name   string
	ext    string // the kernel's name, where it is another
	rev    uint8
	family rules.Family // 0: IPv4 and IPv6
	size   int          // without the padding to 8
	// init writes the defaults that are not zero; finish completes and checks
	// what depends on more than one option.
	init    func(b *blob)
	options []option
	finish  func(b *blob) error
	// print adds what the options can't say by themselves.
	print func(b *blob) (string, bool)
	// old revisions are printed, but text never becomes one.
	old bool
	// is refuses, where it is set, structures that are another extension's.
	is func(b *blob) bool
}

// option is one option. Given, it sets on; behind a "!" it sets not. It is
// printed if shown says so, or without shown if on is set.
type option struct {
	names []string // the first is printed
	value value
	on    bit
	not   bit
	shown func(b *blob) bool
	// need: the option must be given. again: it may be given more than once.
	need, again bool
	// either: behind a "!" it needs no bit, as value.parse sees to it.
	either bool
	// hidden: it is read, but printed as another.
	hidden bool
}

// value is how the words of an option become bytes, and the way back. print
// reports false where the bytes have no text.
type value struct {
	words int
	parse func(b *blob, not bool, words []string) error
	print func(b *blob) (string, bool)
}

// bit is one bit (or several) of an integer of size bytes at at.
type bit struct {
	at, size int
	mask     uint64
}

// ParseMatch reads the options that follow -m name, up to the first token that
// is none of the extension's, and says how many tokens it took. proto is the
// rule's protocol, 0 if it has none. The error wraps ErrUnknown for an extension
// that this package doesn't know.
func ParseMatch(family rules.Family, name string, args []string, proto uint16) (rules.Match, int, error) {
	e, b, n, err := parse(matches, "match", family, name, args, proto)
	if err != nil {
		return rules.Match{}, n, err
	}
	return rules.Match{Ext: e.kernelName(), Rev: e.rev, Data: b.d, Sets: b.sets}, n, nil
}

// ParseTarget is ParseMatch for targets and -j.
func ParseTarget(family rules.Family, name string, args []string, proto uint16) (rules.Target, int, error) {
	e, b, n, err := parse(targets, "target", family, name, args, proto)
	if err != nil {
		return rules.Target{}, n, err
	}
	return rules.Target{Ext: e.kernelName(), Rev: e.rev, Data: b.d, Sets: b.sets}, n, nil
}

// MatchText is the match as iptables-save or, of family bridge, ebtables-save writes it; false if the extension or
// its revision isn't known, or its bytes mean nothing that can be written.
func MatchText(family rules.Family, m *rules.Match) (string, bool) {
	if family == rules.Bridge {
		return bridgeText(bridgeMatches, m.Ext, m.Rev, m.Data)
	}
	return text(matches, "-m ", family, m.Ext, m.Rev, m.Data, m.Sets)
}

// TargetText is MatchText for targets.
func TargetText(family rules.Family, t *rules.Target) (string, bool) {
	if family == rules.Bridge {
		return bridgeText(bridgeTargets, t.Ext, t.Rev, t.Data)
	}
	return text(targets, "-j ", family, t.Ext, t.Rev, t.Data, t.Sets)
}

func (e *extension) kernelName() string {
	if e.ext != "" {
		return e.ext
	}
	return e.name
}

func (e *extension) of(family rules.Family) bool {
	if e.family == 0 {
		return family == rules.IP || family == rules.IP6 || family == rules.Inet
	}
	return e.family == family
}

func padded(n int) int { return (n + 7) &^ 7 }

func parse(table map[string][]*extension, kind string, family rules.Family, name string, args []string, proto uint16) (*extension, *blob, int, error) {
	var e *extension
	for _, x := range table[name] {
		if x.name == name && x.of(family) && !x.old {
			e = x
		}
	}
	if e == nil {
		return nil, nil, 0, fmt.Errorf("%s %s is %w", kind, name, ErrUnknown)
	}
	b := &blob{d: make([]byte, padded(e.size)), family: family, proto: proto, e: e}
	if e.init != nil {
		e.init(b)
	}
	n, err := e.read(b, args)
	if err != nil {
		return nil, nil, n, fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return e, b, n, nil
}

// read takes the options from the front of args.
func (e *extension) read(b *blob, args []string) (int, error) {
	n := 0
	for n < len(args) {
		at, not := n, args[n] == "!"
		if not {
			at++
		}
		if at >= len(args) {
			break
		}
		word, joined, hasJoined := args[at], "", false
		if strings.HasPrefix(word, "--") {
			word, joined, hasJoined = strings.Cut(word, "=")
		}
		i := e.option(word)
		if i < 0 {
			break
		}
		o := &e.options[i]
		words := args[at+1:]
		if hasJoined {
			words = append([]string{joined}, words...)
		}
		if len(words) < o.value.words || hasJoined && o.value.words == 0 {
			return n, fmt.Errorf("%s takes %d values", word, o.value.words)
		}
		if b.given&(1<<i) != 0 && !o.again {
			return n, fmt.Errorf("%s is given twice", word)
		}
		b.given |= 1 << i
		if err := o.set(b, not, words[:o.value.words]); err != nil {
			return n, fmt.Errorf("%s: %w", word, err)
		}
		n = at + 1 + o.value.words
		if hasJoined {
			n--
		}
	}
	for i := range e.options {
		if o := &e.options[i]; o.need && b.given&(1<<i) == 0 {
			return n, fmt.Errorf("%s is missing", o.names[0])
		}
	}
	if e.finish != nil {
		return n, e.finish(b)
	}
	return n, nil
}

// option finds an option by its name, or by the start of one that can be meant
// only once, as getopt_long(3) does; -1 if there is none.
func (e *extension) option(word string) int {
	found := -1
	for i := range e.options {
		for _, name := range e.options[i].names {
			if name == word {
				return i
			}
			if len(word) >= 4 && strings.HasPrefix(name, word) && !general[word] {
				if found >= 0 && found != i {
					return -1
				}
				found = i
			}
		}
	}
	return found
}

// general are iptables' own options that are also the start of an extension's.
var general = map[string]bool{
	"--source": true, "--src": true, "--destination": true, "--dst": true, "--protocol": true, "--proto": true,
	"--match": true, "--jump": true, "--goto": true, "--fragment": true, "--set-counters": true,
}

func (o *option) set(b *blob, not bool, words []string) error {
	if not {
		if o.not.mask == 0 && !o.either {
			return fmt.Errorf("it can't be inverted")
		}
		b.set(o.not)
	}
	b.set(o.on)
	if o.value.parse == nil {
		return nil
	}
	return o.value.parse(b, not, words)
}

func text(table map[string][]*extension, prefix string, family rules.Family, ext string, rev uint8, data []byte, sets []string) (string, bool) {
	b := &blob{d: data, family: family, sets: sets}
	for _, e := range table[ext] {
		if e.kernelName() == ext && e.rev == rev && e.of(family) && len(data) == padded(e.size) && (e.is == nil || e.is(b)) {
			return e.write(b, prefix+e.name)
		}
	}
	return "", false
}

func (e *extension) write(b *blob, text string) (string, bool) {
	for i := range e.options {
		o := &e.options[i]
		if o.hidden || !o.visible(b) {
			continue
		}
		if b.has(o.not) {
			text += " !"
		}
		text += " " + o.names[0]
		if o.value.print != nil {
			s, ok := o.value.print(b)
			if !ok {
				return "", false
			}
			text += " " + s
		}
	}
	if e.print == nil {
		return text, true
	}
	more, ok := e.print(b)
	return text + more, ok
}

func (o *option) visible(b *blob) bool {
	if o.shown != nil {
		return o.shown(b)
	}
	return b.has(o.on)
}

// table indexes extensions by each name that they go by.
func table(lists ...[]extension) map[string][]*extension {
	m := map[string][]*extension{}
	for _, list := range lists {
		for i := range list {
			e := &list[i]
			m[e.name] = append(m[e.name], e)
			if e.ext != "" && e.ext != e.name {
				m[e.ext] = append(m[e.ext], e)
			}
		}
	}
	return m
}
