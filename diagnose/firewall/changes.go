package firewall

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/portwhy/portwhy/rules"
)

// Change is one difference between two states of a firewall. Text is the rule, or
// what was there before and what is there now.
type Change struct {
	What  string `json:"what"`  // rule added, rule removed, rules in another order, chain added, …
	Where string `json:"where"` // family, table and chain, or the set
	Text  string `json:"text"`
	// Rule is the rule as it stands now, null for one that is gone and for all else.
	Rule *Rule `json:"rule"`
}

// moving is what packets change in the text of a rule: what was counted, and what
// is used of a quota.
var moving = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\bcounter packets \d+ bytes \d+\b|\bused \d+ [a-z]+\b`)
})

// still is a rule's text without what packets change.
func still(text string) string {
	return moving().ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, "counter") {
			return "counter"
		}
		return "used"
	})
}

// Seal fills in what tells two states apart: the digests of the sets of the
// ruleset that the page was made of, and the fingerprint.
func (p *Page) Seal(set *rules.Ruleset) {
	for i, t := range set.Tables {
		for j := range p.Tables[i].Sets {
			p.Tables[i].Sets[j].Digest = digestOf(t.Set(p.Tables[i].Sets[j].Name))
		}
	}
	for i, s := range set.IPSets {
		p.IPSets[i].Digest = digestOfIPSet(s)
	}
	p.Fingerprint = p.State()
}

// State is a fingerprint of what a page says of packets' fate: tables, chains, the
// text of rules in their order, sets with their elements. Handles, counters and
// the elements that come and go by themselves are not in it, so that rules that
// are loaded anew are the same.
func (p *Page) State() string {
	h := sha256.New()
	for _, t := range sorted(p.Tables) {
		line(h, "table", t.key(), strings.Join(t.Flags, ","))
		for _, c := range t.Chains {
			line(h, append([]string{"chain", c.Name}, c.standing()...)...)
			for _, r := range c.Rules {
				line(h, still(r.Text))
			}
		}
		for _, s := range t.Sets {
			line(h, append([]string{"set", s.Name}, s.standing()...)...)
		}
		for _, o := range t.Objects {
			line(h, "object", o.Name, o.Type)
		}
		for _, f := range t.Flowtables {
			line(h, "flowtable", f.Name, strconv.Itoa(int(f.Priority)), strings.Join(f.Devices, ","))
		}
	}
	for _, s := range p.IPSets {
		line(h, append([]string{"ipset", s.Name}, s.standing()...)...)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// sorted orders tables by their names: in which order they were made is no part of
// a state that a boot makes anew.
func sorted(tables []Table) []Table {
	return slices.SortedStableFunc(slices.Values(tables), func(a, b Table) int { return strings.Compare(a.key(), b.key()) })
}

// line writes fields so that no two lists of them are the same bytes.
func line(h hash.Hash, fields ...string) {
	for _, f := range fields {
		fmt.Fprintf(h, "%d:%s", len(f), f)
	}
	h.Write([]byte{'\n'})
}

func (t Table) key() string { return fmt.Sprintf("%s %s %s", t.Backend, t.Family, t.Name) }

func (t Table) where() string { return t.Family + " " + t.Name }

// standing is where a chain stands and what becomes of what it lets go: always as
// many words, empty for a chain that only jumps lead to.
func (c Chain) standing() []string {
	words := make([]string, 5)
	if c.Type != nil {
		words[0] = "type " + *c.Type
	}
	if c.Hook != nil {
		words[1] = "hook " + string(*c.Hook)
	}
	if c.Priority != nil {
		words[2] = "priority " + strconv.Itoa(int(*c.Priority))
	}
	if len(c.Devices) > 0 {
		words[3] = "devices " + strings.Join(c.Devices, ", ")
	}
	if c.Policy != nil {
		words[4] = "policy " + *c.Policy
	}
	return words
}

// standing is what a set is and what is in it, as far as it stays.
func (s Set) standing() []string {
	return []string{"type " + s.Type, "flags " + strings.Join(s.Flags, ","), contents(s.Elements, s.Digest)}
}

func (s IPSet) standing() []string {
	return []string{"type " + s.Type, "family " + s.Family, contents(s.Elements, s.Digest)}
}

func contents(count *int, digest string) string {
	if digest == "" || count == nil {
		return ""
	}
	return fmt.Sprintf("%s (digest %s)", plural(*count, "element"), digest)
}

// differ is what is said differently, before and after; empty: nothing.
func differ(was, is []string) string {
	var before, after []string
	for i := range was {
		if was[i] != is[i] {
			before, after = append(before, was[i]), append(after, is[i])
		}
	}
	if before == nil {
		return ""
	}
	return strings.TrimSpace(strings.Join(before, " ")) + ", now " + strings.TrimSpace(strings.Join(after, " "))
}

// digest is a fingerprint of elements in any order.
func digest(elements []string) string {
	slices.Sort(elements)
	h := sha256.New()
	for _, e := range elements {
		line(h, e)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// digestOf is empty for a set that changes by itself, or was not read whole.
func digestOf(s *rules.Set) string {
	if !s.Known || s.Dynamic || s.Timeout {
		return ""
	}
	list := make([]string, s.Elements.Len())
	for i, e := range s.Elements.All() {
		list[i] = fmt.Sprintf("%x-%x %t %t %x %s", e.Key, e.KeyEnd, e.End, e.CatchAll, e.Data, e.Object)
		if e.Verdict != nil {
			list[i] += fmt.Sprintf(" %d %s", e.Verdict.Code, e.Verdict.Chain)
		}
	}
	return digest(list)
}

func digestOfIPSet(s *rules.IPSet) string {
	if !s.Known || s.Options["timeout"] != "" {
		return ""
	}
	list := make([]string, len(s.Elements))
	for i, e := range s.Elements {
		list[i] = fmt.Sprintf("%s %t", e.Entry, e.NoMatch())
	}
	return digest(list)
}

// ReadPage reads a page that was saved as JSON.
func ReadPage(text string) (*Page, error) {
	var p Page
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("no page of rules, as portwhy rules -o json writes it: %w", err)
	}
	if p.Schema != RulesSchema {
		return nil, fmt.Errorf("no page of rules, as portwhy rules -o json writes it: its schema is %q", cut(p.Schema))
	}
	return &p, nil
}

// Changes are the differences between two pages, in the order of the later one.
func Changes(before, after *Page) []Change {
	c := changes{list: []Change{}}
	c.tables(sorted(before.Tables), sorted(after.Tables))
	name := func(s IPSet) string { return s.Name }
	both(before.IPSets, after.IPSets, name, func(was, is *IPSet) {
		c.set("ipset", was == nil, is == nil, func() string { return differ(was.standing(), is.standing()) }, nameOf(was, is, name))
	})
	return c.list
}

type changes struct{ list []Change }

func (c *changes) add(what, where, text string) {
	c.list = append(c.list, Change{What: what, Where: where, Text: text})
}

func (c *changes) tables(before, after []Table) {
	both(before, after, Table.key, func(was, is *Table) {
		switch {
		case was == nil:
			c.add("table added", is.where(), plural(len(is.Chains), "chain"))
			was = &Table{}
		case is == nil:
			c.add("table removed", was.where(), plural(len(was.Chains), "chain"))
			return
		}
		if a, b := strings.Join(was.Flags, ","), strings.Join(is.Flags, ","); a != b {
			c.add("table changed", is.where(), fmt.Sprintf("flags %q, now %q", a, b))
		}
		c.chains(is, was.Chains, is.Chains)
		name := func(s Set) string { return s.Name }
		both(was.Sets, is.Sets, name, func(x, y *Set) {
			c.set("set", x == nil, y == nil, func() string { return differ(x.standing(), y.standing()) }, is.where()+" "+nameOf(x, y, name))
		})
		object := func(o Object) string { return o.Type + " " + o.Name }
		both(was.Objects, is.Objects, object, func(x, y *Object) {
			c.set("object", x == nil, y == nil, func() string { return "" }, is.where()+" "+nameOf(x, y, object))
		})
		flowtable := func(f Flowtable) string { return f.Name }
		both(was.Flowtables, is.Flowtables, flowtable, func(x, y *Flowtable) {
			c.set("flowtable", x == nil, y == nil, func() string {
				return differ([]string{strings.Join(x.Devices, ",")}, []string{strings.Join(y.Devices, ",")})
			}, is.where()+" "+nameOf(x, y, flowtable))
		})
	})
}

// set notes a thing that has a name and a description.
func (c *changes) set(kind string, added, removed bool, differs func() string, where string) {
	switch {
	case added:
		c.add(kind+" added", where, "")
	case removed:
		c.add(kind+" removed", where, "")
	default:
		if text := differs(); text != "" {
			c.add(kind+" changed", where, text)
		}
	}
}

func (c *changes) chains(t *Table, before, after []Chain) {
	both(before, after, func(c Chain) string { return c.Name }, func(was, is *Chain) {
		switch {
		case was == nil:
			c.add("chain added", t.where()+" "+is.Name, plural(len(is.Rules), "rule"))
			was = &Chain{}
		case is == nil:
			c.add("chain removed", t.where()+" "+was.Name, plural(len(was.Rules), "rule"))
			is = &Chain{Name: was.Name}
		default:
			if text := differ(was.standing(), is.standing()); text != "" {
				c.add("chain changed", t.where()+" "+is.Name, text)
			}
		}
		c.rules(t, is, was.Rules)
	})
}

// rules notes which are gone and which are new. Those that were moved only are
// told by one change.
func (c *changes) rules(t *Table, is *Chain, before []PageRule) {
	after := is.Rules
	where := t.where() + " " + is.Name
	count := map[string]int{}
	for _, r := range before {
		count[still(r.Text)]++
	}
	for _, r := range after {
		count[still(r.Text)]--
	}
	moved := len(before) == len(after)
	for _, r := range before {
		if text := still(r.Text); count[text] > 0 {
			count[text]--
			moved = false
			c.add("rule removed", where, r.Text)
		}
	}
	var added []PageRule
	for _, r := range slices.Backward(after) { // of equal ones the later is the new one
		if text := still(r.Text); count[text] < 0 {
			count[text]++
			added = append(added, r)
		}
	}
	for _, r := range slices.Backward(added) {
		moved = false
		c.list = append(c.list, Change{What: "rule added", Where: where, Text: r.Text, Rule: &Rule{Backend: t.Backend, Family: t.Family, Table: t.Name,
			Chain: is.Name, Handle: r.Handle, Number: &r.Number, Text: r.Text, File: r.File, Line: int(r.Line)}})
	}
	if moved && !slices.EqualFunc(before, after, func(a, b PageRule) bool { return still(a.Text) == still(b.Text) }) {
		c.add("rules in another order", where, "")
	}
}

// both calls f for each name that either list has, with nil where one has it not.
// The order is that of the later list, then what is gone.
// Of several with the same name, which only a file can have, the first is compared
// with the first.
func both[T any](before, after []T, name func(T) string, f func(was, is *T)) {
	old := map[string][]*T{}
	for i := range before {
		n := name(before[i])
		old[n] = append(old[n], &before[i])
	}
	for i := range after {
		n := name(after[i])
		if was := old[n]; len(was) > 0 {
			f(was[0], &after[i])
			old[n] = was[1:]
		} else {
			f(nil, &after[i])
		}
	}
	for i := range before {
		n := name(before[i])
		if was := old[n]; len(was) > 0 && was[0] == &before[i] {
			f(was[0], nil)
			old[n] = was[1:]
		}
	}
}

func nameOf[T any](was, is *T, name func(T) string) string {
	if is != nil {
		return name(*is)
	}
	return name(*was)
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
