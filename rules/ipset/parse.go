// Package ipset reads sets of ipset(8), from the text of `ipset save` and from
// netlink messages of the kernel, and looks packets up in them as the kernel
// does (net/netfilter/ipset).
package ipset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// nameMax is the length of a set's name (IPSET_MAXNAMELEN - 1).
const nameMax = 31

// unknownIndex is the index of a set in a text, which has none.
const unknownIndex = 0xffff

// flags and values are the options of create and add that stand alone, and
// those that a value follows.
var (
	createFlags  = nameSet("counters comment skbinfo forceadd")
	createValues = nameSet("family hashsize maxelem timeout netmask bitmask markmask range size bucketsize initval probes resize gc")
	addFlags     = nameSet("nomatch wildcard")
	addValues    = nameSet("timeout packets bytes comment skbmark skbprio skbqueue before after")
)

func nameSet(list string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		m[w] = true
	}
	return m
}

// Parse reads the text of `ipset save`, or what else `ipset restore` takes of
// the commands create, add, del, flush, destroy, rename and swap. Errors are
// [rules.SyntaxError].
func Parse[T string | []byte](file string, text T) ([]*rules.IPSet, error) {
	p := &parser{file: file, sets: map[string]*rules.IPSet{}}
	for p.rest = string(text); p.rest != ""; {
		p.line++
		p.source, p.rest, _ = strings.Cut(p.rest, "\n")
		p.source = strings.TrimRight(p.source, " \t\r")
		if err := p.command(); err != nil {
			return nil, err
		}
	}
	return p.list, nil
}

// parser is the state of reading one text.
type parser struct {
	file   string
	line   int
	source string
	rest   string // of the text, behind the line
	words  []word
	list   []*rules.IPSet
	sets   map[string]*rules.IPSet
}

// word is one word of a line and where it starts, from 1.
type word struct {
	text   string
	column int
}

func (p *parser) fail(column int, format string, args ...any) error {
	return &rules.SyntaxError{File: p.file, Line: p.line, Column: column, Message: fmt.Sprintf(format, args...)}
}

// split takes the line apart: blanks separate words, except between double
// quotes. There is no escape, as ipset allows no quote in a comment.
func (p *parser) split() error {
	p.words = p.words[:0]
	for i := 0; i < len(p.source); {
		switch c := p.source[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '"':
			end := strings.IndexByte(p.source[i+1:], '"')
			if end < 0 {
				return p.fail(i+1, "expected a closing quote")
			}
			p.words = append(p.words, word{p.source[i+1 : i+1+end], i + 1})
			i += end + 2
		default:
			end := strings.IndexAny(p.source[i:], " \t")
			if end < 0 {
				end = len(p.source) - i
			}
			p.words = append(p.words, word{p.source[i : i+end], i + 1})
			i += end
		}
	}
	return nil
}

// names are how the commands may be called, without a leading - or --.
var names = map[string]string{
	"create": "create", "N": "create", "n": "create", "new": "create",
	"add": "add", "A": "add", "a": "add", "del": "del", "D": "del", "d": "del",
	"flush": "flush", "F": "flush", "f": "flush", "destroy": "destroy", "X": "destroy", "x": "destroy",
	"rename": "rename", "E": "rename", "e": "rename", "swap": "swap", "W": "swap", "w": "swap",
	"COMMIT": "COMMIT",
}

func (p *parser) command() error {
	if p.source == "" || p.source[0] == '#' {
		return nil
	}
	if i := strings.IndexByte(p.source, 0); i >= 0 {
		return p.fail(i+1, "expected text, not a NUL byte")
	}
	if err := p.split(); err != nil {
		return err
	}
	w, exist := p.words[:0], false
	for _, one := range p.words {
		switch one.text {
		case "-exist", "--exist", "-!":
			exist = true
		case "-quiet", "--quiet", "-q":
		default:
			w = append(w, one)
		}
	}
	if p.words = w; len(w) == 0 {
		return nil
	}
	name := names[strings.TrimLeft(w[0].text, "-")]
	if name == "" {
		return p.fail(w[0].column, "expected create, add, del, flush, destroy, rename or swap")
	}
	if name == "COMMIT" {
		return nil
	}
	if len(w) == 1 && (name == "flush" || name == "destroy") {
		for _, s := range p.list {
			s.Elements = nil
		}
		if name == "destroy" {
			p.list, p.sets = nil, map[string]*rules.IPSet{}
		}
		return nil
	}
	if len(w) == 1 {
		return p.fail(len(p.source)+1, "expected the name of a set")
	}
	if name == "create" {
		return p.create(exist)
	}
	set := p.sets[w[1].text]
	if set == nil {
		return p.fail(w[1].column, "expected a set that is created above")
	}
	switch name {
	case "add", "del":
		return p.element(set, name == "add", exist)
	case "flush", "destroy":
		if len(w) > 2 {
			return p.fail(w[2].column, "expected the end of the line")
		}
		if set.Elements = nil; name == "destroy" {
			p.drop(set)
		}
		return nil
	}
	if len(w) != 3 {
		return p.fail(len(p.source)+1, "expected the names of two sets")
	}
	return p.renameOrSwap(set, w[2], name == "swap")
}

func (p *parser) drop(set *rules.IPSet) {
	delete(p.sets, set.Name)
	for i, s := range p.list {
		if s == set {
			p.list = append(p.list[:i], p.list[i+1:]...)
			return
		}
	}
}

func (p *parser) renameOrSwap(set *rules.IPSet, to word, swap bool) error {
	other := p.sets[to.text]
	if swap == (other == nil) {
		return p.fail(to.column, "expected the name of %s set", map[bool]string{true: "another", false: "no other"}[swap])
	}
	if !swap && len(to.text) > nameMax {
		return p.fail(to.column, "expected a name of at most %d bytes", nameMax)
	}
	if swap {
		// What is swapped are the names.
		other.Name = set.Name
		p.sets[other.Name] = other
	} else {
		delete(p.sets, set.Name)
	}
	set.Name = to.text
	p.sets[set.Name] = set
	return nil
}

func (p *parser) create(exist bool) error {
	w := p.words
	if len(w) < 3 {
		return p.fail(len(p.source)+1, "expected the type of the set")
	}
	if n := w[1].text; n == "" || len(n) > nameMax {
		return p.fail(w[1].column, "expected a name of 1 to %d bytes", nameMax)
	}
	k := kinds[w[2].text]
	if k == nil {
		return p.fail(w[2].column, "expected a type of set, such as hash:ip, not %q", w[2].text)
	}
	set := &rules.IPSet{Name: w[1].text, Index: unknownIndex, Type: w[2].text, Family: k.family, Known: true}
	if !k.any && k.family == 0 {
		set.Family = rules.IP
	}
	for i := 3; i < len(w); i++ {
		o := w[i]
		switch {
		case createFlags[o.text]:
			setOption(&set.Options, o.text, "")
		case o.text == "-4" || o.text == "-6":
			set.Family = map[string]rules.Family{"-4": rules.IP, "-6": rules.IP6}[o.text]
		case createValues[o.text] && i+1 == len(w):
			return p.fail(len(p.source)+1, "expected a value of %s", o.text)
		case o.text == "family":
			i++
			f, ok := map[string]rules.Family{"inet": rules.IP, "inet6": rules.IP6, "ipv4": rules.IP, "ipv6": rules.IP6}[w[i].text]
			if !ok || k.any || k.family != 0 && k.family != f {
				return p.fail(w[i].column, "expected a family of type %s", set.Type)
			}
			set.Family = f
		case createValues[o.text]:
			i++
			setOption(&set.Options, o.text, w[i].text)
		default:
			return p.fail(o.column, "expected an option of create, not %q", o.text)
		}
	}
	if k.ranged && set.Options["range"] == "" {
		return p.fail(len(p.source)+1, "expected a range")
	}
	if _, err := newSettings(k, set); err != nil {
		return p.fail(w[2].column, "%s", err)
	}
	if p.sets[set.Name] != nil {
		if exist {
			return nil
		}
		return p.fail(w[1].column, "expected a new name: set %s is there already", set.Name)
	}
	p.sets[set.Name] = set
	p.list = append(p.list, set)
	return nil
}

func setOption(m *map[string]string, name, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[name] = value
}

// run counts the lines to come that begin alike: a file has the entries of a set
// one after the other, and so many that room for them is made once.
func (p *parser) run(prefix string) int {
	n := 0
	for rest := p.rest; strings.HasPrefix(rest, prefix); n++ {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	return n
}

func (p *parser) element(set *rules.IPSet, add, exist bool) error {
	w := p.words
	if len(w) < 3 {
		return p.fail(len(p.source)+1, "expected an entry")
	}
	if _, err := kinds[set.Type].parseEntry(set.Family, w[2].text); err != nil {
		return p.fail(w[2].column, "%s", err)
	}
	el := rules.IPSetElement{Entry: w[2].text}
	for i := 3; i < len(w); i++ {
		o := w[i]
		switch {
		case addFlags[o.text]:
			el.Options = el.Options.With(o.text, "")
		case !addValues[o.text]:
			return p.fail(o.column, "expected an option of add, not %q", o.text)
		case i+1 == len(w):
			return p.fail(len(p.source)+1, "expected a value of %s", o.text)
		default:
			i++
			if o.text == "timeout" {
				if _, err := strconv.ParseUint(w[i].text, 10, 32); err != nil {
					return p.fail(w[i].column, "expected a number of seconds")
				}
			}
			el.Options = el.Options.With(o.text, w[i].text)
		}
	}
	if add {
		if len(set.Elements) == cap(set.Elements) {
			set.Elements = slices.Grow(set.Elements, 1+p.run(p.source[:w[2].column-1]))
		}
		set.Elements = append(set.Elements, el)
		return nil
	}
	for i := range set.Elements {
		if set.Elements[i].Entry == el.Entry {
			set.Elements = append(set.Elements[:i], set.Elements[i+1:]...)
			return nil
		}
	}
	if exist {
		return nil
	}
	return p.fail(w[2].column, "expected an entry of set %s", set.Name)
}
