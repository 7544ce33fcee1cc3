// Package nft turns what the kernel tells of nftables over netlink into the
// model of package rules. It only reads bytes, so it works on any system; the
// numbers of messages and attributes are those of the kernel's
// include/uapi/linux/netfilter/nf_tables.h, in whose order the functions read
// them.
package nft

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/portwhy/portwhy/rules"
)

// Messages, NFT_MSG_*.
const (
	NewTable       = 0
	GetTable       = 1
	NewChain       = 3
	GetChain       = 4
	NewRule        = 6
	GetRule        = 7
	NewSet         = 9
	GetSet         = 10
	NewElements    = 12
	GetElements    = 13
	GetGeneration  = 16
	NewObject      = 18
	GetObject      = 19
	NewFlowtable   = 22
	GetFlowtable   = 23
	Subsystem      = 10 // NFNL_SUBSYS_NFTABLES, the upper byte of a message's type
	nameAttribute  = 2  // of a set in a request
	tableAttribute = 1
)

// Decoder gathers messages: tables first, then chains, rules, sets, elements,
// objects and flowtables. A thing must come after what it is in.
type Decoder struct {
	list   []*rules.Table
	tables map[tableKey]*rules.Table
	chains map[memberKey]*rules.Chain
	sets   map[memberKey]*rules.Set
	store
}

type tableKey struct {
	family rules.Family
	name   string
}

type memberKey struct {
	table *rules.Table
	name  string
}

// NewDecoder makes an empty decoder.
func NewDecoder() *Decoder {
	return &Decoder{tables: map[tableKey]*rules.Table{}, chains: map[memberKey]*rules.Chain{}, sets: map[memberKey]*rules.Set{}, store: newStore()}
}

// Message takes one message: its type without the subsystem, the family of its
// struct nfgenmsg, and its attributes. It keeps nothing of body.
func (d *Decoder) Message(kind, family uint8, body []byte) error {
	if kind != NewRule && kind != NewElements { // of which there may be many
		body = bytes.Clone(body)
	}
	a := open(body)
	switch kind {
	case NewTable:
		return d.table(rules.Family(family), &a)
	case NewChain:
		return d.in(family, &a, "chain", d.chain)
	case NewRule:
		return d.in(family, &a, "rule", d.rule)
	case NewSet:
		return d.in(family, &a, "set", d.set)
	case NewElements:
		return d.in(family, &a, "elements", d.elements)
	case NewObject:
		return d.in(family, &a, "object", d.object)
	case NewFlowtable:
		return d.in(family, &a, "flowtable", d.flowtable)
	}
	return fmt.Errorf("nftables message of type %d", kind)
}

// in reads what is in a table; all of that have its name first.
func (d *Decoder) in(family uint8, a *attributes, what string, read func(*rules.Table, *attributes)) error {
	name := a.text(1)
	table := d.tables[tableKey{rules.Family(family), name}]
	if table == nil {
		return fmt.Errorf("%s: no table %s %s", what, rules.Family(family), name)
	}
	read(table, a)
	return a.err(fmt.Sprintf("table %s %s: %s", table.Family, table.Name, what))
}

// Ruleset is what was gathered. It counts the elements of the sets that the
// caller has said to be Known.
func (d *Decoder) Ruleset() *rules.Ruleset {
	for _, t := range d.list {
		if MadeByIptables(t) {
			t.Backend = rules.IptablesNFT
		}
		for _, s := range t.Sets {
			if s.Known {
				s.Count = s.Elements.Len()
			}
		}
	}
	return &rules.Ruleset{Tables: d.list}
}

// Tables are the tables that came until now.
func (d *Decoder) Tables() []*rules.Table { return d.list }

func (d *Decoder) table(family rules.Family, a *attributes) error {
	t := &rules.Table{Backend: rules.NFT, Family: family, Name: a.name(1), Handle: a.u64(4),
		Flags: words(a.u32(2), "dormant", "owner", "persist"), Comment: a.comment(6, 0)}
	if err := a.err("table " + t.Name); err != nil {
		return err
	}
	d.list = append(d.list, t)
	d.tables[tableKey{family, t.Name}] = t
	return nil
}

// words names the bits of flags; what is beyond the names is one number.
func words(flags uint32, names ...string) []string {
	var list []string
	for i, name := range names {
		if flags&(1<<i) != 0 && name != "" {
			list = append(list, name)
		}
	}
	if rest := flags &^ (1<<len(names) - 1); rest != 0 {
		list = append(list, strconv.FormatUint(uint64(rest), 10))
	}
	return list
}

func (a *attributes) comment(kind uint16, udata byte) string {
	v, _ := a.get(kind)
	return userdata(v, udata)
}

func (d *Decoder) chain(t *rules.Table, a *attributes) {
	c := &rules.Chain{Handle: a.u64(2), Name: a.name(3), Type: a.text(7),
		// NFT_CHAIN_BASE is told by the hook.
		Flags: words(a.u32(10), "", "offload", "binding"), Comment: a.comment(12, 0)}
	if v, ok := a.get(4); ok {
		a.hook(t.Family, c, v)
		c.Policy = "accept"
		if a.has(5) && a.u32(5) == uint32(rules.Drop) {
			c.Policy = "drop"
		}
	}
	if v, ok := a.get(8); ok {
		n := open(v)
		c.Bytes, c.Packets = n.u64(1), n.u64(2)
		a.fold(n)
	}
	t.Chains = append(t.Chains, c)
	d.chains[memberKey{t, c.Name}] = c
}

// fold takes over what is wrong with attributes inside.
func (a *attributes) fold(inner attributes) {
	if inner.bad != "" {
		a.fail("%s", inner.bad)
	}
}

// hook reads an NFTA_HOOK_*.
func (a *attributes) hook(family rules.Family, c *rules.Chain, b []byte) {
	h := open(b)
	c.Hook, c.Priority = hookName(family, h.need32(1)), int32(h.need32(2))
	if v, ok := h.get(4); ok {
		c.Devices = devices(v)
	} else if h.has(3) {
		c.Devices = []string{h.text(3)}
	}
	a.fold(h)
}

// hookName names a hook by its number, NF_INET_*, NF_NETDEV_* or NF_ARP_*.
func hookName(family rules.Family, n uint32) rules.Hook {
	names := []rules.Hook{rules.Prerouting, rules.Input, rules.Forward, rules.Output, rules.Postrouting, rules.Ingress}
	switch family {
	case rules.Netdev:
		names = []rules.Hook{rules.Ingress, rules.Egress}
	case rules.ARP:
		names = []rules.Hook{rules.Input, rules.Output, rules.Forward}
	}
	if n >= uint32(len(names)) {
		return rules.Hook(strconv.FormatUint(uint64(n), 10))
	}
	return names[n]
}

// devices reads NFTA_DEVICE_NAME and, of newer kernels, NFTA_DEVICE_PREFIX,
// which nft writes with a star.
func devices(b []byte) []string {
	var list []string
	for kind, v := range each(b) {
		name := text(v)
		if kind == 2 {
			name += "*"
		}
		list = append(list, name)
	}
	return list
}

func (d *Decoder) rule(t *rules.Table, a *attributes) {
	name := a.name(2)
	c := d.chains[memberKey{t, name}]
	if c == nil {
		a.fail("no chain %s", name)
		return
	}
	raw, _ := a.get(4)
	list := d.expressions(raw)
	r := d.packer.Rule()
	*r = rules.Rule{Number: int32(len(c.Rules) + 1), Exprs: d.packer.List(list)}
	about := rules.About{Handle: a.u64(3), Comment: a.comment(7, 0)}
	for _, e := range list {
		switch e := e.(type) {
		case *rules.Counter:
			about.Counted, about.Packets, about.Bytes = true, e.Packets, e.Bytes
		case *rules.Match:
			if e.Ext == "comment" && about.Comment == "" {
				about.Comment = text(e.Data)
			}
		}
	}
	d.packer.Tell(r, about)
	c.Rules = append(c.Rules, r)
}
