package xtables

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/xt"
)

// Bits of rules.IPTables (linux/netfilter_ipv4/ip_tables.h, ip6_tables.h).
const (
	flagFragment = 0x01 // IPT_F_FRAG
	flagGoto4    = 0x02 // IPT_F_GOTO
	flagProto6   = 0x01 // IP6T_F_PROTO
	flagGoto6    = 0x04 // IP6T_F_GOTO

	notIn       = 0x01
	notOut      = 0x02
	notSrc      = 0x08
	notDst      = 0x10
	notFragment = 0x20
	notProto    = 0x40
)

// options are the options of a rule's head, by their long names.
var options = map[string]byte{
	"--source": 's', "--src": 's', "--destination": 'd', "--dst": 'd', "--protocol": 'p', "--proto": 'p',
	"--in-interface": 'i', "--out-interface": 'o', "--fragments": 'f', "--fragment": 'f',
	"--match": 'm', "--jump": 'j', "--goto": 'g', "--set-counters": 'c', "--ipv4": '4', "--ipv6": '6',
}

// standard are the targets that are verdicts.
var standard = map[string]rules.VerdictKind{
	"ACCEPT": rules.Accept, "DROP": rules.Drop, "RETURN": rules.Return, "QUEUE": rules.Queue,
}

// extension is a match or the target of the rule that is being read.
type extension struct {
	name   word
	target bool
	args   []string
	expr   rules.Expr // nil as long as err isn't
	err    error      // what it lacks: its options may still follow
}

// spec is a rule's words as they are read.
type spec struct {
	rule     *rules.Rule
	chain    *rules.Chain
	head     rules.IPTables
	src, dst []network
	proto    uint16
	seen     []byte // letters of options that may be there once only
	exts     []extension
	verdict  rules.Expr
}

// ruleSpec reads a rule from words[at:]. Lists of addresses make several rules
// of one line.
func (p *parser) ruleSpec(r *rules.Rule, c *rules.Chain, at int) ([]*rules.Rule, error) {
	s := &p.spec
	*s = spec{rule: r, chain: c, proto: p.findProto(at), seen: s.seen[:0], src: s.src[:0], dst: s.dst[:0], exts: s.exts[:0]}
	for at < len(p.words) {
		n, err := p.option(s, at)
		if err != nil {
			return nil, err
		}
		at += n
	}
	for i := range s.exts {
		if e := &s.exts[i]; e.err != nil {
			return nil, p.fail(e.name.column, "%s", e.err)
		}
	}
	r.Line, r.Text = int32(p.line), p.source
	p.packer.Tell(r, p.about)
	if _, rule, counted := strings.Cut(p.source, "] "); counted && p.source[0] == '[' {
		r.Text = rule
	}
	return p.expand(s)
}

// findProto is the protocol of a rule, which extensions depend on, wherever it
// stands; 0 if there is none or all but one.
func (p *parser) findProto(at int) uint16 {
	for i := at; i+1 < len(p.words); i++ {
		w := p.words[i]
		if w.quoted || len(w.text) < 2 || w.text[0] != '-' || w.text[1] != 'p' && w.text[1] != '-' {
			continue
		}
		if (w.text == "-p" || options[w.text] == 'p') && (i == at || p.args[i-1] != "!") {
			n, _ := protocol(p.args[i+1])
			return n
		}
	}
	return 0
}

// option reads one option with its values and says how many words that took.
func (p *parser) option(s *spec, at int) (int, error) {
	i, not := at, false
	if p.args[i] == "!" && !p.words[i].quoted {
		if not, i = true, i+1; i == len(p.args) {
			return 0, p.fail(p.words[at].column, "expected an option behind !")
		}
	}
	w := p.words[i]
	letter := options[w.text]
	if len(w.text) == 2 && w.text[0] == '-' {
		letter = w.text[1]
	}
	once := strings.IndexByte("sdpiofjgc", letter) >= 0
	key := letter
	if key == 'g' {
		key = 'j'
	}
	if once && bytes.IndexByte(s.seen, key) >= 0 {
		return 0, p.fail(w.column, "%s is there twice", w.text)
	}
	if once {
		s.seen = append(s.seen, key)
	}
	value := ""
	if letter != 'f' && letter != '4' && letter != '6' && strings.IndexByte("sdpiomjgc", letter) >= 0 {
		if i+1 == len(p.args) {
			return 0, p.fail(len(p.source)+1, "expected a value behind %s", w.text)
		}
		value = p.args[i+1]
	}
	if not && strings.IndexByte("mjgc46", letter) >= 0 {
		return 0, p.fail(w.column, "expected no ! before %s", w.text)
	}
	used := i + 2 - at
	column := w.column
	if i+1 < len(p.words) {
		column = p.words[i+1].column
	}
	var err error
	switch letter {
	case 's', 'd':
		err = p.addresses(s, letter, not, value, column)
	case 'p':
		n, ok := protocol(value)
		switch {
		case !ok:
			return 0, p.fail(column, "expected a protocol, not %q", value)
		case not && n == 0:
			return 0, p.fail(column, "expected a protocol other than all behind !")
		case not:
			s.head.Inv |= notProto
		}
		s.head.Proto = n
		if p.table.Family == rules.IP6 {
			s.head.Flags |= flagProto6
		}
	case 'i', 'o':
		err = p.deviceOption(s, letter, not, value, column)
	case 'f':
		if p.table.Family == rules.IP6 {
			return 0, p.fail(column, "expected no -f: IPv6 has -m frag")
		}
		s.head.Flags |= flagFragment
		if not {
			s.head.Inv |= notFragment
		}
		used--
	case '4', '6':
		if (letter == '6') != (p.table.Family == rules.IP6) {
			return 0, p.fail(w.column, "expected no %s behind the command", w.text)
		}
		used--
	case 'm':
		n, err := p.match(s, i+1)
		return used + n, err
	case 'j', 'g':
		n, err := p.jump(s, i+1, letter == 'g')
		return used + n, err
	case 'c':
		n, err := p.setCounters(s, i+1)
		return used + n, err
	default:
		return p.loose(s, at)
	}
	return used, err
}

func (p *parser) addresses(s *spec, letter byte, not bool, value string, column int) error {
	to := &s.dst
	if letter == 's' {
		to = &s.src
	}
	nets, wrong := p.networks(*to, value)
	if wrong != "" {
		return p.fail(column, "expected an address: %s", wrong)
	}
	if not && len(nets) > 1 {
		return p.fail(column, "expected one address behind !")
	}
	*to = nets
	switch {
	case not && letter == 's':
		s.head.Inv |= notSrc
	case not:
		s.head.Inv |= notDst
	}
	if len(s.src) > 1 && s.head.Inv&notDst != 0 || len(s.dst) > 1 && s.head.Inv&notSrc != 0 {
		return p.fail(column, "expected one address: ! is not allowed with lists")
	}
	return nil
}

// deviceOption reads a device's name. The kernel takes "+" for any; only with ! is
// there a difference, it then never matches.
func (p *parser) deviceOption(s *spec, letter byte, not bool, value string, column int) error {
	const ifNameSize = 16
	if len(value) == 0 || len(value) >= ifNameSize {
		return p.fail(column, "expected a device's name of 1 to %d bytes", ifNameSize-1)
	}
	wrong := letter == 'o' && (s.chain.Hook == rules.Prerouting || s.chain.Hook == rules.Input) ||
		letter == 'i' && (s.chain.Hook == rules.Postrouting || s.chain.Hook == rules.Output)
	if wrong {
		return p.fail(column, "expected no -%c: packets in chain %s have no such device", letter, s.chain.Name)
	}
	if value == "+" && !not {
		return nil
	}
	value = p.device(value)
	bit := uint8(notIn)
	if letter == 'i' {
		s.head.In = value
	} else {
		s.head.Out, bit = value, notOut
	}
	if not {
		s.head.Inv |= bit
	}
	return nil
}

// device is a device's name, the same string wherever it occurs.
func (p *parser) device(name string) string {
	known, ok := p.devices[name]
	if !ok {
		if p.devices == nil || len(p.devices) >= knownMax {
			p.devices = map[string]string{}
		}
		known = strings.Clone(name)
		p.devices[known] = known
	}
	return known
}

// setCounters reads -c PACKETS BYTES or -c PACKETS,BYTES.
func (p *parser) setCounters(s *spec, at int) (int, error) {
	a, b, comma := strings.Cut(p.args[at], ",")
	extra := 0
	if !comma {
		if at+1 == len(p.args) {
			return 0, p.fail(len(p.source)+1, "expected a number of bytes")
		}
		b, extra = p.args[at+1], 1
	}
	packets, bytes, ok := counters("[" + a + ":" + b + "]")
	if !ok {
		return 0, p.fail(p.words[at].column, "expected two numbers, of packets and bytes")
	}
	p.about.Counted, p.about.Packets, p.about.Bytes = true, packets, bytes
	return extra, nil
}

// match reads the extension whose name is words[at], and how many of the words
// behind it are its own.
func (p *parser) match(s *spec, at int) (int, error) {
	e := extension{name: p.words[at], args: p.args[at+1:]}
	n, err := p.extension(s, &e, at)
	if e.name.text == "comment" && err == nil && n >= 2 {
		p.about.Comment = e.args[1]
	}
	s.exts = append(s.exts, e)
	return n, err
}

// jump reads the verdict, chain or extension whose name is words[at].
func (p *parser) jump(s *spec, at int, leave bool) (int, error) {
	w := p.words[at]
	if kind, ok := standard[w.text]; ok && !leave {
		s.verdict = p.verdict(rules.Verdict{Kind: kind})
		return 0, nil
	}
	if c := p.chains[w.text]; c != nil {
		if c.Base() {
			return 0, p.fail(w.column, "expected a chain of the user: %s is built in", w.text)
		}
		kind := rules.Jump
		if leave {
			kind = rules.Goto
			s.head.Flags |= p.flagGoto()
		}
		s.verdict = p.verdict(rules.Verdict{Kind: kind, Chain: c.Name})
		return 0, nil
	}
	if leave || !targets[w.text] {
		return 0, p.fail(w.column, "expected a target, or a chain of table %s that is declared above", p.table.Name)
	}
	e := extension{name: w, target: true, args: p.args[at+1:]}
	n, err := p.extension(s, &e, at)
	s.exts = append(s.exts, e)
	return n, err
}

func (p *parser) flagGoto() uint8 {
	if p.table.Family == rules.IP6 {
		return flagGoto6
	}
	return flagGoto4
}

// verdict is an Immediate; alike ones are shared.
func (p *parser) verdict(v rules.Verdict) rules.Expr {
	v.Code = uint32(v.Kind)
	e := p.verdicts[v]
	if e == nil {
		if p.verdicts == nil {
			p.verdicts = map[rules.Verdict]rules.Expr{}
		}
		own := v
		e = &rules.Immediate{Verdict: &own}
		p.verdicts[v] = e
	}
	return e
}

// extension reads e, whose name is words[at] and whose args are all words
// behind it, and cuts args down to its own.
func (p *parser) extension(s *spec, e *extension, at int) (int, error) {
	end := at + 1
	for end < len(p.words) && !shortOption(p.words[end]) {
		end++
	}
	first, last := p.words[at].column-1, len(p.source)
	if end < len(p.words) {
		last = p.words[end].column - 1
	}
	key := matchKey{p.source[first:last], s.proto, e.target}
	if known, ok := p.known[key]; ok {
		e.expr, e.args = known.expr, e.args[:known.words]
		return known.words, nil
	}
	n, err := p.parseExtension(e, s.proto)
	switch {
	case errors.Is(err, xt.ErrUnknown):
		if !e.target && !matches[e.name.text] {
			return 0, p.fail(e.name.column, "expected a match of iptables-extensions(8), not %q", e.name.text)
		}
		return p.opaque(e, at, at+1), nil
	case err != nil:
		// Its options may stand behind others.
		if next := at + 1; next == len(p.words) || shortOption(p.words[next]) {
			e.err, e.args = err, nil
			return 0, nil
		}
		return 0, p.fail(p.words[min(at+1+n, len(p.words)-1)].column, "%s", err)
	}
	e.args = e.args[:n]
	if n <= end-at-1 {
		if p.known == nil || len(p.known) >= knownMax {
			p.known = map[matchKey]knownExt{}
		}
		p.known[key] = knownExt{e.expr, n}
	}
	return n, nil
}

// shortOption reports whether a word is an option of one letter, which no
// extension has.
func shortOption(w word) bool {
	return len(w.text) >= 2 && w.text[0] == '-' && w.text[1] != '-' && !w.quoted && (w.text[1] < '0' || w.text[1] > '9')
}

// parseExtension reads e with all of its args.
func (p *parser) parseExtension(e *extension, proto uint16) (int, error) {
	if e.target {
		t, n, err := xt.ParseTarget(p.table.Family, e.name.text, e.args, proto)
		if err == nil {
			e.expr = &t
		}
		return n, err
	}
	m, n, err := xt.ParseMatch(p.table.Family, e.name.text, e.args, proto)
	if err == nil {
		e.expr = &m
	}
	return n, err
}

// opaque makes of e an expression that keeps the words of an extension that is
// real, but not understood: from words[at] on, up to the next option of one
// letter. It says how many of them are options, which start at words[options].
func (p *parser) opaque(e *extension, at, options int) int {
	end := options
	for end < len(p.words) && !shortOption(p.words[end]) {
		end++
	}
	if end < len(p.words) && end > options && p.args[end-1] == "!" {
		end--
	}
	last := len(p.source)
	if end < len(p.words) {
		last = p.words[end].column - 1
	}
	kind := "match:"
	if e.target {
		kind = "target:"
	}
	text := strings.TrimRight(p.source[p.words[at].column-1:last], " \t")
	e.expr = &rules.Opaque{Kind: kind + e.name.text, Why: "the extension is not known", Data: []byte(text)}
	e.args = p.args[options:end]
	return end - options
}

// loose reads an option that stands apart from its extension, as in
// "-p tcp -m state --state NEW --dport 22": it belongs to one that was named
// before, or else to the protocol's own match, which needs no -m.
func (p *parser) loose(s *spec, at int) (int, error) {
	option := at
	if p.args[at] == "!" && at+1 < len(p.args) {
		option++
	}
	if name, value, ok := strings.Cut(p.args[option], "="); ok && strings.HasPrefix(name, "--") && !p.words[option].quoted {
		p.args[option], p.words[option].text = name, name
		p.args = slices.Insert(p.args, option+1, value)
		p.words = slices.Insert(p.words, option+1, word{value, p.words[option].column + len(name) + 1, false})
	}
	for i := len(s.exts) - 1; i >= 0; i-- {
		e := s.exts[i]
		if _, opaque := e.expr.(*rules.Opaque); opaque {
			continue
		}
		had := len(e.args)
		e.args = append(append([]string{}, e.args...), p.args[at:]...)
		n, err := p.parseExtension(&e, s.proto)
		if err != nil || n <= had {
			continue
		}
		e.err, e.args = nil, e.args[:n]
		s.exts[i] = e
		return n - had, nil
	}
	w := p.words[at]
	if name := implicit[s.proto]; name != "" && !s.has(name) {
		e := extension{name: word{text: name, column: w.column}, args: p.args[at:]}
		n, err := p.parseExtension(&e, s.proto)
		if errors.Is(err, xt.ErrUnknown) {
			n, err = p.opaque(&e, at, at), nil
		}
		if err != nil {
			return 0, p.fail(p.words[min(at+n, len(p.words)-1)].column, "%s", err)
		}
		if n > 0 {
			e.args = e.args[:n]
			s.exts = append(s.exts, e)
			return n, nil
		}
	}
	w = p.words[option]
	return 0, p.fail(w.column, "expected an option of iptables or of one of the rule's extensions, not %q", w.text)
}

// implicit are the protocols whose match needs no -m.
var implicit = map[uint16]string{
	1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "icmp6", 108: "ipcomp", 132: "sctp", 135: "mh", 136: "udplite",
}

func (s *spec) has(match string) bool {
	for _, e := range s.exts {
		if e.name.text == match && !e.target {
			return true
		}
	}
	return false
}
