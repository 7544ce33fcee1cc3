//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Messages, attributes and sizes of linux/xfrm.h, on machines that align 64
// bits to 8 bytes.
const (
	xfrmNewSA      = 0x10
	xfrmGetSA      = 0x12
	xfrmNewPolicy  = 0x13
	xfrmGetPolicy  = 0x15
	xfrmGetDefault = 0x28

	xfrmaTemplate = 5

	xfrmPolicySize   = 168
	xfrmPolicyIDSize = 64
	xfrmStateSize    = 224
	xfrmTemplateSize = 64

	xfrmDefaultBlock = 1
	xfrmModeTunnel   = 1
)

// Transforms lists the IPsec policies of this namespace (XFRM_MSG_GETPOLICY)
// and whether a state exists for each template that they demand. A default
// that blocks what no policy matches (ip-xfrm(8), setdefault) comes last, with
// index 0 and no addresses. It needs CAP_NET_ADMIN.
func (h *Host) Transforms(ctx context.Context) ([]host.Transform, error) {
	// Opening a protocol that is not there would load its module.
	if err := h.netlinkServed(unix.NETLINK_XFRM); err != nil {
		return nil, fmt.Errorf("list IPsec policies: %w", err)
	}
	c, err := h.netlink(unix.NETLINK_XFRM)
	if err != nil {
		return nil, fmt.Errorf("list IPsec policies: %w", err)
	}
	defer c.close()
	replies, err := c.dump(ctx, xfrmGetPolicy, make([]byte, xfrmPolicyIDSize))
	if err != nil {
		return nil, fmt.Errorf("list IPsec policies: %w", err)
	}
	var list []host.Transform
	var demands [][]template
	demanded := false
	for _, r := range replies {
		if r.kind != xfrmNewPolicy {
			continue
		}
		t, templates, err := parsePolicy(r.data)
		if err != nil {
			return nil, fmt.Errorf("list IPsec policies: %w", err)
		}
		list, demands = append(list, t), append(demands, templates)
		demanded = demanded || len(templates) > 0
	}
	if demanded {
		states, err := c.states(ctx)
		if err != nil {
			return nil, err
		}
		for i := range list {
			list[i].StateFound = served(demands[i], states)
		}
	}
	return append(list, c.defaultPolicies(ctx)...), nil
}

// states lists what exists of IPsec states.
func (c *netlinkConn) states(ctx context.Context) ([]template, error) {
	replies, err := c.dump(ctx, xfrmGetSA, nil)
	if err != nil {
		return nil, fmt.Errorf("list IPsec states: %w", err)
	}
	var states []template
	for _, r := range replies {
		if r.kind != xfrmNewSA {
			continue
		}
		s, larval, err := parseState(r.data)
		if err != nil {
			return nil, fmt.Errorf("list IPsec states: %w", err)
		}
		if !larval {
			states = append(states, s)
		}
	}
	return states, nil
}

// defaultPolicies tells the directions in which what no policy matches is
// blocked. Kernels before 5.14 have no such default and refuse the question.
func (c *netlinkConn) defaultPolicies(ctx context.Context) []host.Transform {
	replies, err := c.ask(ctx, xfrmGetDefault, make([]byte, 4))
	if err != nil || len(replies) == 0 || len(replies[0].data) < 3 {
		return nil
	}
	var list []host.Transform
	// struct xfrm_userpolicy_default is in this order.
	for i, direction := range []string{"in", "fwd", "out"} {
		if replies[0].data[i] == xfrmDefaultBlock {
			list = append(list, host.Transform{Direction: direction, Action: "block"})
		}
	}
	return list
}

// template is a state, or what a policy demands of one.
type template struct {
	destination netip.Addr
	protocol    uint8
	mode        uint8
	request     uint32
	optional    bool
}

// served reports whether each template that is not optional has a state. A
// transport template takes the packet's own destination, so any will do.
func served(templates, states []template) bool {
	for _, t := range templates {
		found := t.optional
		for _, s := range states {
			if s.protocol == t.protocol && s.mode == t.mode && (t.request == 0 || s.request == t.request) &&
				(t.mode != xfrmModeTunnel || !t.destination.IsValid() || t.destination.IsUnspecified() || s.destination == t.destination) {
				found = true
			}
		}
		if !found {
			return false
		}
	}
	return len(templates) > 0
}

// parsePolicy reads an XFRM_MSG_NEWPOLICY message (struct xfrm_userpolicy_info).
func parsePolicy(b []byte) (host.Transform, []template, error) {
	var r reader
	head, rest := r.header("xfrm_userpolicy_info", b, xfrmPolicySize)
	family := r.u16("family", head[40:])
	t := host.Transform{
		Destination:     r.prefix("daddr", xfrmAddress(head[0:16], family), int(head[42])),
		Source:          r.prefix("saddr", xfrmAddress(head[16:32], family), int(head[43])),
		DestinationPort: binary.BigEndian.Uint16(head[32:]) & binary.BigEndian.Uint16(head[34:]),
		SourcePort:      binary.BigEndian.Uint16(head[36:]) & binary.BigEndian.Uint16(head[38:]),
		Protocol:        int(head[44]),
		Priority:        int(r.u32("priority", head[152:])),
		Index:           int(r.u32("index", head[156:])),
		Direction:       xfrmDirection(head[160]),
		Action:          "allow",
	}
	if head[161] != 0 {
		t.Action = "block"
	}
	var templates []template
	for kind, v := range r.attributes(rest) {
		if kind != xfrmaTemplate {
			continue
		}
		for len(v) >= xfrmTemplateSize {
			templates = append(templates, template{
				destination: xfrmAddress(v[0:16], r.u16("family", v[24:])),
				protocol:    v[20],
				request:     r.u32("reqid", v[44:]),
				mode:        v[48],
				optional:    v[50] != 0,
			})
			v = v[xfrmTemplateSize:]
		}
		if len(v) > 0 {
			r.fail("XFRMA_TMPL", v, xfrmTemplateSize)
		}
	}
	t.Templates = len(templates)
	return t, templates, r.err
}

// parseState reads an XFRM_MSG_NEWSA message (struct xfrm_usersa_info). A
// larval state has no SPI: a packet waits for it, nobody has set it up.
func parseState(b []byte) (state template, larval bool, err error) {
	var r reader
	head, _ := r.header("xfrm_usersa_info", b, xfrmStateSize)
	larval = r.u32("spi", head[72:]) == 0
	return template{
		destination: xfrmAddress(head[56:72], r.u16("family", head[212:])),
		protocol:    head[76],
		request:     r.u32("reqid", head[208:]),
		mode:        head[214],
	}, larval, r.err
}

// xfrmAddress is an xfrm_address_t, a union. Family 0 is that of a selector
// for both.
func xfrmAddress(v []byte, family uint16) netip.Addr {
	switch family {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(v))
	case unix.AF_INET6:
		return netip.AddrFrom16([16]byte(v))
	}
	return netip.Addr{}
}

func xfrmDirection(n uint8) string {
	switch n {
	case 0:
		return "in"
	case 1:
		return "out"
	case 2:
		return "fwd"
	}
	return fmt.Sprint(n)
}
