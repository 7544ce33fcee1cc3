// Package sources asks from which addresses a port of this host can be reached. It
// sends nothing: the routes and the firewall are asked through their models.
//
// A network is split wherever a rule, a set or a route begins to tell addresses
// apart, so that one address of each range stands for all of it, and the answer
// for the network is exact. Where rules tell addresses apart in a way that has no
// ranges (single bits, hashes), or by what could not be read, that is said, and
// nothing is concluded from the addresses that were asked; but what is stopped
// without a rule that only stops packets is stopped with it, too.
package sources

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// Query asks who of a network reaches a port.
type Query struct {
	Network string // tcp, udp
	From    netip.Prefix
	// Device is where the packets come in; empty: where the answer would leave.
	Device string
	// To are the addresses of this host; those of the other family are passed over.
	To   []netip.Addr
	Port uint16
}

// Reaches says whether a packet and its answer get through.
type Reaches int

// The zero value is the honest one.
const (
	Unknown Reaches = iota
	No
	Yes
)

// String returns unknown, no or yes.
func (r Reaches) String() string { return [...]string{"unknown", "no", "yes"}[r] }

// Range is a range of addresses that fare alike.
type Range struct {
	First, Last netip.Addr
	// Asked is the address that was asked, which stands for all.
	Asked   netip.Addr
	Reaches Reaches
	Because string
	// To is the address that is reached, or the first that was asked, and Port the
	// client's port that was asked; 0: none, the packets did not get so far.
	To     netip.Addr
	Port   uint16
	Device string // by which the packets come in
	// Mark is what rules give the packets that they let in; Unmarked: it isn't known.
	Mark     uint32
	Unmarked bool
	// Void: no packet from outside has these sources.
	Void bool
	// Some: it is reached from Asked; whether from all others, too, can't be told.
	Some bool
	// Lone: it is nothing but the address of a network, which a host seldom has.
	Lone bool
	// By is the rule or policy that decides; nil: none does, or several do.
	By *firewall.Decider
}

// Answer is what becomes of a network.
type Answer struct {
	Ranges []Range
	// Limits are why what is not reached may be reached all the same.
	Limits []host.Limit
}

// most bounds the packets that one question may take through the firewall.
const most = 100_000

// Ask answers. It fails only if the host can't be asked at all.
func Ask(ctx context.Context, h host.Host, q Query) (*Answer, error) {
	a := &asker{ctx: ctx, host: h, query: q, answer: &Answer{}}
	fw, err := h.Firewall(ctx)
	if err != nil {
		a.limit(diagnose.LimitOf("what the firewall does", err))
		return a.answer, nil
	}
	if len(fw.Limits) > 0 {
		a.answer.Limits = append(a.answer.Limits, fw.Limits...)
		return a.answer, nil
	}
	cuts := firewall.CutsOf(fw.Rules)
	for _, d := range cuts.Doubts {
		a.limit(host.Limit{What: "whether all addresses of a range fare alike", Why: fmt.Sprintf("%s in %s: %s", d.Expression, d.Rule.Where(), d.Why), Needs: "a look at the rule: portwhy rules"})
	}
	if err := a.routes(cuts); err != nil {
		return nil, err
	}
	a.tracer = firewall.NewTracer(fw.Rules, firewall.Facts(ctx, h), firewall.Printer(ctx, h), "")
	if cuts.Less != nil {
		a.less = firewall.NewTracer(cuts.Less, firewall.Facts(ctx, h), firewall.Printer(ctx, h), "")
	}
	a.ports = clientPorts(cuts, fw.Rules)
	a.to = slices.DeleteFunc(slices.Clone(q.To), func(to netip.Addr) bool { return to.Is4() != q.From.Addr().Is4() })
	if len(a.to) == 0 {
		a.answer.Ranges = []Range{{First: q.From.Addr(), Last: last(q.From), Asked: q.From.Addr(), Reaches: No, Because: "the target has no address of its family"}}
		return a.answer, nil
	}
	list := ranges(q.From, cuts)
	if len(list)*len(a.to)*len(a.ports) > most {
		a.limit(host.Limit{What: "who of " + q.From.String() + " gets through", Why: fmt.Sprintf("the rules tell %d ranges of addresses and %d of ports apart, too many to ask for each", len(list), len(a.ports)),
			Needs: "asking for a smaller network"})
		return a.answer, nil
	}
	for _, r := range list {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("asking for %s: %w", r.First, err)
		}
		if err := a.ask(&r); err != nil {
			return nil, err
		}
		a.add(r)
	}
	return a.answer, nil
}

type asker struct {
	ctx    context.Context
	host   host.Host
	query  Query
	tracer *firewall.Tracer
	// less asks the ruleset without rules that stop some of a range, by what was not
	// read or has no ranges; nil: there are none.
	less   *firewall.Tracer
	ports  []uint16
	to     []netip.Addr
	answer *Answer
}

func (a *asker) limit(l host.Limit) {
	if !slices.Contains(a.answer.Limits, l) {
		a.answer.Limits = append(a.answer.Limits, l)
	}
}

// add appends a range, or makes the last one longer if both fare alike.
func (a *asker) add(r Range) {
	if n := len(a.answer.Ranges); n > 0 {
		before := &a.answer.Ranges[n-1]
		if before.Reaches == r.Reaches && before.Because == r.Because && before.To == r.To && before.Void == r.Void && before.Some == r.Some && before.Device == r.Device &&
			before.Mark == r.Mark && before.Unmarked == r.Unmarked && before.Last.Next() == r.First {
			if before.Lone {
				r.First = before.First
				*before = r
			}
			before.Last = r.Last
			return
		}
	}
	a.answer.Ranges = append(a.answer.Ranges, r)
}

// routes cuts where routes, policy rules and addresses of this host do.
func (a *asker) routes(cuts *firewall.Cuts) error {
	routes, err := a.host.Routes(a.ctx)
	if err != nil {
		return fmt.Errorf("reading the routes: %w", err)
	}
	policy, err := a.host.Rules(a.ctx)
	if err != nil {
		return fmt.Errorf("reading the policy rules: %w", err)
	}
	own, err := a.host.Addresses(a.ctx)
	if err != nil {
		return fmt.Errorf("reading the addresses: %w", err)
	}
	var all []netip.Prefix
	for _, r := range routes {
		all = append(all, r.Destination)
	}
	for _, r := range policy {
		all = append(all, r.Source, r.Destination)
	}
	for _, o := range own {
		all = append(all, o.Prefix.Masked(), netip.PrefixFrom(o.Prefix.Addr(), o.Prefix.Addr().BitLen()))
	}
	for _, n := range never() {
		all = append(all, n.prefix)
	}
	for _, p := range all {
		if !p.IsValid() {
			continue
		}
		list := &cuts.Six
		if p.Addr().Is4() {
			list = &cuts.Four
		}
		*list = append(*list, p.Masked().Addr())
		if next := last(p).Next(); next.IsValid() {
			*list = append(*list, next)
		}
	}
	return nil
}

// ranges splits a network at the cuts.
func ranges(p netip.Prefix, cuts *firewall.Cuts) []Range {
	list := cuts.Six
	if p.Addr().Is4() {
		list = cuts.Four
	}
	end := last(p)
	starts := []netip.Addr{p.Masked().Addr()}
	for _, a := range list {
		if p.Contains(a) {
			starts = append(starts, a)
		}
	}
	slices.SortFunc(starts, netip.Addr.Compare)
	starts = slices.Compact(starts)
	found := make([]Range, len(starts))
	for i, s := range starts {
		found[i] = Range{First: s, Last: end, Asked: s}
		if i+1 < len(starts) {
			found[i].Last = starts[i+1].Prev()
		}
		switch {
		case p.IsSingleIP() || s != p.Masked().Addr() && !isNetwork(s):
		case s == found[i].Last:
			found[i].Lone = true
		default:
			found[i].Asked = s.Next() // as people write a host of it
		}
	}
	return found
}

// isNetwork reports whether an address looks like that of a network: its last byte,
// of IPv6 the last half, is zero.
func isNetwork(a netip.Addr) bool {
	if b := a.As16(); a.Is6() {
		return [8]byte(b[8:]) == [8]byte{}
	}
	return a.As4()[3] == 0
}

// last is the last address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// clientPorts are one port of each range that rules tell apart. Where answers are
// filtered, those count by which they are told apart, too.
func clientPorts(cuts *firewall.Cuts, set *rules.Ruleset) []uint16 {
	ports := append([]uint16{1}, cuts.Source...)
	if answersAreFiltered(set) {
		ports = append(ports, cuts.Answer...)
	}
	slices.Sort(ports)
	ports = slices.DeleteFunc(slices.Compact(ports), func(p uint16) bool { return p == 0 })
	return ports
}

func answersAreFiltered(set *rules.Ruleset) bool {
	for _, t := range set.Tables {
		for _, c := range t.Chains {
			switch c.Hook {
			case rules.Output, rules.Postrouting, rules.Egress:
				if c.Type != "nat" && !t.Dormant() {
					return true
				}
			}
		}
	}
	return false
}

// impossible are sources that the kernel takes from no device
// (ip_route_input_slow, ip6_rcv_core).
type impossible struct {
	prefix netip.Prefix
	why    string
}

func never() []impossible {
	return []impossible{
		{netip.MustParsePrefix("0.0.0.0/8"), "no packet has such a source"},
		{netip.MustParsePrefix("127.0.0.0/8"), "from outside, the kernel drops a loopback source"},
		{netip.MustParsePrefix("224.0.0.0/4"), "no packet has a multicast source"},
		{netip.MustParsePrefix("255.255.255.255/32"), "no packet has a broadcast source"},
		{netip.MustParsePrefix("::/128"), "no connection has such a source"},
		{netip.MustParsePrefix("::1/128"), "from outside, the kernel drops a loopback source"},
		{netip.MustParsePrefix("::ffff:0:0/96"), "no packet has such a source"},
		{netip.MustParsePrefix("ff00::/8"), "no packet has a multicast source"},
	}
}

// ask asks for one address of a range, by every address of the target and
// from one port of each range.
func (a *asker) ask(r *Range) error {
	for _, n := range never() {
		if n.prefix.Contains(r.Asked) {
			r.Reaches, r.Because, r.Void = No, n.why, true
			return nil
		}
	}
	var unknown *Range
	for _, to := range a.to {
		one := *r
		one.To = to
		if err := a.reach(&one); err != nil {
			return err
		}
		switch {
		case one.Reaches == Yes:
			*r = one
			return nil
		case one.Reaches == Unknown && unknown == nil:
			unknown = &one
		}
		if !r.To.IsValid() {
			*r = one
		}
	}
	if unknown != nil {
		*r = *unknown
	}
	return nil
}

// reach asks for one address of the target.
func (a *asker) reach(r *Range) error {
	if r.Asked.IsLinkLocalUnicast() && r.Asked.Is6() && a.query.Device == "" {
		r.Because = "a link-local source is of one device: write " + r.Asked.String() + "%DEVICE"
		return nil
	}
	back, err := a.host.RouteTo(a.ctx, host.RouteQuery{Destination: r.Asked, Source: r.To, OutDevice: a.linkLocal(r.Asked)})
	if err != nil {
		r.Because = "the route back is not known: " + err.Error()
		return nil
	}
	switch {
	case back.Type == "local":
		r.Reaches, r.Because, r.Void = No, "it is an address of this host", true
		return nil
	case back.Errno != "" || back.Type == "blackhole" || back.Type == "unreachable" || back.Type == "prohibit":
		r.Reaches, r.Because = No, "the answer has no way back"
		return nil
	case back.Type != "unicast":
		r.Reaches, r.Because, r.Void = No, "the kernel takes no "+back.Type+" source", true
		return nil
	}
	if r.Device = a.query.Device; r.Device == "" {
		r.Device = back.Device
	}
	for i, port := range a.ports {
		one := *r
		one.Port = port
		if err := a.trace(&one); err != nil {
			return err
		}
		switch {
		case one.Reaches == Yes:
			if i > 0 {
				one.Because += " from port " + strconv.Itoa(int(port))
			}
			*r = one
			return nil
		case i == 0 || one.Reaches == Unknown && r.Reaches == No:
			*r = one
		}
	}
	return nil
}

// linkLocal is the device that a link-local address is of.
func (a *asker) linkLocal(source netip.Addr) string {
	if source.IsLinkLocalUnicast() {
		return a.query.Device
	}
	return ""
}

// trace asks about one packet. What is stopped without the rules that stop only
// some of a range is stopped for all of it.
func (a *asker) trace(r *Range) error {
	if a.less == nil {
		return a.look(a.tracer, r)
	}
	if err := a.look(a.less, r); err != nil || r.Reaches == No {
		return err
	}
	whole := *r
	whole.Reaches, whole.Because, whole.By = Unknown, "", nil
	if err := a.look(a.tracer, &whole); err != nil {
		return err
	}
	if whole.Reaches == No {
		whole.Reaches, whole.Because = Unknown, whole.Because+", but whether all of the range are can't be told"
	}
	whole.Some = true
	*r = whole
	return nil
}

// look takes the first packet in, and the answer back.
func (a *asker) look(tracer *firewall.Tracer, r *Range) error {
	look, err := tracer.Look(firewall.Packet{Proto: a.query.Network, Src: netip.AddrPortFrom(r.Asked, r.Port).String(),
		Dst: netip.AddrPortFrom(r.To, a.query.Port).String(), IIF: r.Device, Way: "in"})
	if err != nil {
		return fmt.Errorf("asking the firewall about %s: %w", r.Asked, err)
	}
	stopped := func(t *firewall.Trace, what string) bool {
		switch t.Verdict {
		case "accept":
			return false
		case "drop", "reject":
			r.Reaches, r.Because = No, what+" is stopped"
			if d := t.DecidedBy; d != nil {
				r.By = d
				r.Because = fmt.Sprintf("%s is stopped by %q (%s)", what, d.Text, d.Where())
			}
		default:
			r.Because = "what becomes of it depends on what is not known"
			if len(t.Unknown) > 0 {
				r.Because = fmt.Sprintf("%s: %s", t.Unknown[0].Expression, t.Unknown[0].Why)
			}
		}
		return true
	}
	switch {
	case stopped(look.There, "it"):
	case look.Back == nil:
		r.Because = look.BackUnknown
	case stopped(look.Back, "the answer"):
	case look.Then != nil && stopped(look.Then, "what follows the first packet"):
	default:
		r.Reaches, r.Because = Yes, "the firewall lets it in"
		mark, known := look.There.Mark()
		r.Mark, r.Unmarked = mark, !known
		if d := look.There.DecidedBy; d != nil && !d.Policy {
			r.By = d
			r.Because = fmt.Sprintf("%q (%s) lets it in", d.Text, d.Where())
		}
	}
	return nil
}
