//go:build linux

package linux

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Attributes, actions and flags of linux/fib_rules.h.
const (
	fraDst            = 1
	fraSrc            = 2
	fraIifname        = 3
	fraGoto           = 4
	fraPriority       = 6
	fraFwmark         = 10
	fraSuppressGroup  = 13
	fraSuppressPrefix = 14
	fraTable          = 15
	fraFwmask         = 16
	fraOifname        = 17
	fraL3mdev         = 19
	fraUIDRange       = 20
	fraIPProto        = 22
	fraSportRange     = 23
	fraDportRange     = 24
	fraDSCP           = 25
	fraTunID          = 12
	fraFlowLabel      = 26
	fraSportMask      = 28
	fraDportMask      = 29
	fraDSCPMask       = 30

	fibRuleInvert = 2
)

// Rules lists the policy rules of both families in the order in which the
// kernel tries them (RTM_GETRULE), IPv4's first.
func (h *Host) Rules(ctx context.Context) ([]host.RouteRule, error) {
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list routing rules: %w", err)
	}
	defer c.close()
	return c.rules(ctx)
}

func (c *netlinkConn) rules(ctx context.Context) ([]host.RouteRule, error) {
	var list []host.RouteRule
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		header := make([]byte, 12) // struct fib_rule_hdr
		header[0] = family
		replies, err := c.dump(ctx, unix.RTM_GETRULE, header)
		if err == unix.EAFNOSUPPORT {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list routing rules: %w", err)
		}
		var rules []host.RouteRule
		for _, r := range replies {
			if r.kind != unix.RTM_NEWRULE || len(r.data) == 0 || r.data[0] != family {
				continue
			}
			rule, err := parseRule(r.data)
			if err != nil {
				return nil, fmt.Errorf("list routing rules: %w", err)
			}
			rules = append(rules, rule)
		}
		// The kernel lists them in its own order; the sort only makes sure.
		slices.SortStableFunc(rules, func(a, b host.RouteRule) int { return cmp.Compare(a.Priority, b.Priority) })
		list = append(list, rules...)
	}
	return list, nil
}

// parseRule reads an RTM_NEWRULE message; linux/fib_rules.h, ip-rule(8).
func parseRule(b []byte) (host.RouteRule, error) {
	var r reader
	head, rest := r.header("fib_rule_hdr", b, 12)
	flags := r.u32("flags", head[8:])
	rule := host.RouteRule{
		Family: ipVersion(head[0]), TOS: head[3], Table: int(head[4]),
		Action: ruleAction(head[7]), Invert: flags&fibRuleInvert != 0,
		UIDLow: -1, UIDHigh: -1, SuppressLen: -1, SuppressGroup: -1,
	}
	var source, destination netip.Addr
	for kind, v := range r.attributes(rest) {
		switch kind {
		case fraDst:
			destination = r.address("FRA_DST", v)
		case fraSrc:
			source = r.address("FRA_SRC", v)
		case fraIifname:
			rule.InputDevice = r.text(v)
		case fraOifname:
			rule.OutDevice = r.text(v)
		case fraGoto:
			rule.Goto = int(r.u32("FRA_GOTO", v))
		case fraPriority:
			rule.Priority = int(r.u32("FRA_PRIORITY", v))
		case fraFwmark:
			rule.Mark = r.u32("FRA_FWMARK", v)
		case fraFwmask:
			rule.Mask = r.u32("FRA_FWMASK", v)
		case fraTable:
			rule.Table = int(r.u32("FRA_TABLE", v))
		case fraSuppressPrefix:
			rule.SuppressLen = int(int32(r.u32("FRA_SUPPRESS_PREFIXLEN", v)))
		case fraSuppressGroup:
			rule.SuppressGroup = int(int32(r.u32("FRA_SUPPRESS_IFGROUP", v)))
		case fraL3mdev:
			rule.L3Mdev = r.u8("FRA_L3MDEV", v) != 0
		case fraIPProto:
			rule.IPProto = int(r.u8("FRA_IP_PROTO", v))
		case fraDSCP:
			rule.TOS = r.u8("FRA_DSCP", v) << 2
		case fraTunID, fraFlowLabel:
			rule.Opaque = true
		case fraSportMask, fraDportMask:
			// A single port has all bits, a range none.
			mask := r.u16("FRA_SPORT_MASK", v)
			rule.Opaque = rule.Opaque || mask != 0 && mask != 0xffff
		case fraDSCPMask:
			rule.Opaque = rule.Opaque || r.u8("FRA_DSCP_MASK", v) != 0x3f
		case fraUIDRange:
			if len(v) < 8 {
				r.fail("FRA_UID_RANGE", v, 8)
				break
			}
			rule.UIDLow, rule.UIDHigh = int(r.u32("start", v)), int(r.u32("end", v[4:]))
		case fraSportRange:
			rule.SportLow, rule.SportHigh = r.portRange("FRA_SPORT_RANGE", v)
		case fraDportRange:
			rule.DportLow, rule.DportHigh = r.portRange("FRA_DPORT_RANGE", v)
		}
	}
	rule.Source = r.prefix("FRA_SRC", source, int(head[2]))
	rule.Destination = r.prefix("FRA_DST", destination, int(head[1]))
	// Without a mask the kernel compares all bits, and sends the mask it uses.
	return rule, r.err
}

// portRange is a struct fib_rule_port_range.
func (r *reader) portRange(what string, v []byte) (low, high uint16) {
	if len(v) < 4 {
		r.fail(what, v, 4)
		return 0, 0
	}
	return r.u16(what, v), r.u16(what, v[2:])
}

func ipVersion(family byte) int {
	if family == unix.AF_INET6 {
		return 6
	}
	return 4
}

// ruleAction names a rule's action: FR_ACT_ values of linux/fib_rules.h.
func ruleAction(n uint8) string {
	switch n {
	case 1:
		return "lookup"
	case 2:
		return "goto"
	case 3:
		return "nop"
	case 6:
		return "blackhole"
	case 7:
		return "unreachable"
	case 8:
		return "prohibit"
	}
	return fmt.Sprint(n)
}
