package owner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// tuple is a rule of ufw's own files, as the line above the rules that it makes
// has it: "### tuple ###", then action, protocol, port, address, port and address
// (destination, then source), two names of applications or none, and direction.
type tuple struct {
	line     int
	position int // in ufw status numbered
	action   string
	protocol string
	dport    string
	dst      string
	sport    string
	src      string
	dapp     string
	sapp     string
	way      string // in, out, in_eth0, out_eth0, in_eth0!out_eth1
}

const tupleMark = "### tuple ###"

// parseTuple reads one line. What has another number of words ufw passes over,
// too.
func parseTuple(line string) (tuple, bool) {
	rest, ok := strings.CutPrefix(line, tupleMark)
	if !ok {
		return tuple{}, false
	}
	rest, _, _ = strings.Cut(rest, " comment=")
	w := words(rest)
	if len(w) < 6 || len(w) > 9 {
		return tuple{}, false
	}
	t := tuple{action: w[0], protocol: w[1], dport: w[2], dst: w[3], sport: w[4], src: w[5], way: "in"}
	if len(w) >= 8 {
		t.dapp, t.sapp = app(w[6]), app(w[7])
	}
	if len(w) == 7 || len(w) == 9 {
		t.way = w[len(w)-1]
	}
	return t, true
}

func app(s string) string {
	if s == "-" {
		return ""
	}
	return strings.ReplaceAll(s, "%20", " ")
}

// application identifies the rules that one application's ports make: they have
// one number together.
func (t tuple) application() string {
	if t.dapp == "" && t.sapp == "" {
		return ""
	}
	to, from := t.dapp, t.sapp
	if to == "" {
		to = t.dport
	}
	if from == "" {
		from = t.sport
	}
	return strings.Join([]string{to, t.dst, from, t.src, t.way}, " ")
}

// tuples are the rules of a user.rules, numbered from first.
func tuples(text string, first int) []tuple {
	var list []tuple
	seen := map[string]bool{}
	number, next := 0, first
	for line := range strings.Lines(text) {
		number++
		t, ok := parseTuple(strings.TrimSpace(line))
		if !ok {
			continue
		}
		t.line, t.position = number, next
		if name := t.application(); name == "" || !seen[name] {
			seen[name] = true
			next++
		} else {
			t.position = positionOf(list, name)
		}
		list = append(list, t)
	}
	return list
}

func positionOf(list []tuple, application string) int {
	for _, t := range list {
		if t.application() == application {
			return t.position
		}
	}
	return 0
}

func anywhere(address string) bool {
	return address == "any" || address == "0.0.0.0/0" || address == "::/0"
}

// String is the rule as one types it behind ufw.
func (t tuple) String() string {
	var w []string
	action, route := t.action, false
	if rest, ok := strings.CutPrefix(action, "route:"); ok {
		action, route = rest, true
		w = append(w, "route")
	}
	w = append(w, strings.ReplaceAll(action, "_", " "))
	direction, _, _ := strings.Cut(t.way, "_")
	if direction == "out" && !route {
		w = append(w, "out")
	}
	plain := !route && !strings.Contains(t.way, "_")
	for part := range strings.SplitSeq(t.way, "!") {
		if way, device, ok := strings.Cut(part, "_"); ok {
			if way != "out" || route {
				w = append(w, way)
			}
			w = append(w, "on", device)
		}
	}
	if plain && anywhere(t.dst) && anywhere(t.src) && t.sport == "any" && t.sapp == "" {
		switch {
		case t.dapp != "":
			return strings.Join(append(w, t.dapp), " ")
		case t.dport != "any" && t.protocol != "any":
			return strings.Join(append(w, t.dport+"/"+t.protocol), " ")
		case t.dport != "any":
			return strings.Join(append(w, t.dport), " ")
		}
	}
	if t.protocol != "any" && t.dapp == "" && t.sapp == "" {
		w = append(w, "proto", t.protocol)
	}
	side := func(word, address, port, app string) {
		if anywhere(address) {
			if port == "any" && app == "" {
				return
			}
			address = "any"
		}
		w = append(w, word, address)
		if app != "" {
			w = append(w, "app", app)
		} else if port != "any" {
			w = append(w, "port", port)
		}
	}
	side("from", t.src, t.sport, t.sapp)
	side("to", t.dst, t.dport, t.dapp)
	if t.protocol != "any" && w[len(w)-2] == "proto" {
		w = append(w, "to", "any") // ufw wants one side
	}
	return strings.Join(w, " ")
}

// ufw tells a rule or policy of ufw's.
func (f *Facts) ufw(o *Owner, p *place, flow Flow) {
	if f.fileLike("/etc/ufw/ufw.conf", "ENABLED=no") > 0 {
		// What is told to ufw now reaches its files only.
		defer func() { o.Fixes = nil }()
		o.Evidence = append(o.Evidence, diagnose.Evidence{Source: "/etc/ufw/ufw.conf", What: "ENABLED", Value: "no: ufw is off, its rules are still loaded"})
	}
	if chain := defaultOf(p); chain != "" {
		f.ufwPolicy(o, chain, flow)
		return
	}
	f.fromFile(o, p, "ufw")
	if o.Line == 0 {
		o.Says = "a rule in its chain " + p.chain.Name
		if slices.ContainsFunc(f.Files, func(file host.File) bool { return saver(file.Path) == "ufw" }) {
			o.Says += ", which is in none of its files"
		}
		return
	}
	t, ok := f.tupleAt(o.File, o.Line)
	if !ok {
		o.Says = "a rule of its framework, which no rule of the user comes before"
		return
	}
	o.Position, o.Name = t.position, host.Clean([]byte(t.String()), maxWords)
	o.Says = fmt.Sprintf("rule %d %s", t.position, strconv.Quote(o.Name))
	o.Fixes = append(o.Fixes, allowInUFW(flow, t.position)...)
}

// tupleAt is the rule of the user that has made a line of a file.
func (f *Facts) tupleAt(file string, line int) (tuple, bool) {
	first := 1
	for _, other := range []string{"user.rules", "user6.rules"} { // ufw numbers IPv6 behind IPv4
		for _, have := range f.Files {
			if have.Path != dir(file)+other {
				continue
			}
			list := tuples(have.Text, first)
			if have.Path == file {
				for i := len(list) - 1; i >= 0; i-- {
					if list[i].line < line {
						return list[i], line < endOfRules(have.Text)
					}
				}
				return tuple{}, false
			}
			for _, t := range list {
				first = max(first, t.position+1)
			}
		}
	}
	return tuple{}, false
}

func dir(file string) string { return file[:strings.LastIndexByte(file, '/')+1] }

// endOfRules is the line behind which a user.rules has rules that ufw made by
// itself, for limits and logging.
func endOfRules(text string) int {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if strings.TrimSpace(line) == "### END RULES ###" {
			return number
		}
	}
	return number + 1
}

// defaultOf is the built-in chain whose default a policy, or a rule that ufw has
// instead of a policy, is; empty for other rules.
func defaultOf(p *place) string {
	if p.rule == nil {
		return p.chain.Name
	}
	for _, prefix := range []string{"ufw-skip-to-policy-", "ufw6-skip-to-policy-", "ufw-reject-", "ufw6-reject-"} {
		if way, ok := strings.CutPrefix(p.chain.Name, prefix); ok {
			return strings.ToUpper(way)
		}
	}
	return ""
}

// ufwPolicy tells a default of ufw's.
func (f *Facts) ufwPolicy(o *Owner, chain string, flow Flow) {
	way := map[string]string{"INPUT": "incoming", "OUTPUT": "outgoing", "FORWARD": "routed"}[chain]
	if way == "" {
		return
	}
	o.Says = fmt.Sprintf("no rule of it allows the packet, and its default for %s traffic is deny", way)
	const defaults = "/etc/default/ufw"
	if line := f.fileLike(defaults, "DEFAULT_"+chain+"_POLICY="); line > 0 {
		o.File, o.Line = defaults, line
		o.Evidence = append(o.Evidence, f.line(defaults, line))
	}
	o.Fixes = append(o.Fixes, allowInUFW(flow, 0)...)
}

// fileLike is the last line of a file that begins with a text, 0 if there is none.
func (f *Facts) fileLike(file, prefix string) int {
	found := 0
	for _, have := range f.Files {
		if have.Path != file {
			continue
		}
		number := 0
		for line := range strings.Lines(have.Text) {
			if number++; strings.HasPrefix(strings.TrimSpace(line), prefix) {
				found = number
			}
		}
	}
	return found
}

// allowInUFW lets the flow pass, before the rule at a position or at the end.
func allowInUFW(flow Flow, position int) []Fix {
	if !flow.Src.IsValid() || !flow.Dst.IsValid() {
		return nil
	}
	rule := []string{"allow", "proto", flow.Network, "from", flow.Src.String(), "to", "any", "port", fmt.Sprint(flow.Port)}
	command := []string{"ufw"}
	opens := fmt.Sprintf("%d/%s to %s", flow.Port, flow.Network, flow.Src)
	switch flow.Hook {
	case rules.Output:
		rule = []string{"allow", "out", "proto", flow.Network, "to", flow.Dst.String(), "port", fmt.Sprint(flow.Port)}
		opens = fmt.Sprintf("the way out to %s", flow.to())
	case rules.Forward:
		rule = []string{"allow", "proto", flow.Network, "from", flow.Src.String(), "to", flow.Dst.String(), "port", fmt.Sprint(flow.Port)}
		command = append(command, "route")
		opens = fmt.Sprintf("%s to %s", flow.to(), flow.Src)
	}
	fix := diagnose.Fix{Title: "allow it in ufw, before that rule", NeedsRoot: true, Persistent: true, Opens: opens,
		Undo: [][]string{join(command, []string{"delete"}, rule)}}
	if position > 0 {
		fix.Commands = [][]string{join(command, []string{"insert", fmt.Sprint(position)}, rule)}
	} else {
		fix.Title = "allow it in ufw"
		fix.Commands = [][]string{join(command, rule)}
	}
	return []Fix{{Fix: fix, Effect: Accepts}}
}

func join(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// to is the flow's destination as ADDRESS port N/PROTOCOL.
func (f Flow) to() string { return fmt.Sprintf("%s port %d/%s", f.Dst, f.Port, f.Network) }
