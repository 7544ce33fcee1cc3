//go:build linux

package linux

import (
	"context"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Attributes and handles of linux/rtnetlink.h, pkt_sched.h and gen_stats.h.
const (
	tcaKind    = 1
	tcaOptions = 2
	tcaStats2  = 7

	tcaStatsBasic = 1
	tcaStatsQueue = 3
	tcaStatsPkt64 = 8

	tcaNetemLoss      = 5
	tcaNetemLatency64 = 10
	netemLossGI       = 1
	netemLossGE       = 2

	tcmsgSize    = 20
	tcParentRoot = 0xffffffff
	tcIngress    = 0xfffffff1
)

// Qdiscs lists the queueing disciplines of this namespace's links
// (RTM_GETQDISC), with what they dropped since they were set up.
func (h *Host) Qdiscs(ctx context.Context) ([]host.Qdisc, error) {
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list queueing disciplines: %w", err)
	}
	defer c.close()
	names, err := c.deviceNames(ctx)
	if err != nil {
		return nil, err
	}
	replies, err := c.dump(ctx, unix.RTM_GETQDISC, make([]byte, tcmsgSize))
	if err != nil {
		return nil, fmt.Errorf("list queueing disciplines: %w", err)
	}
	list := make([]host.Qdisc, 0, len(replies))
	for _, r := range replies {
		if r.kind != unix.RTM_NEWQDISC {
			continue
		}
		q, index, err := parseQdisc(r.data)
		if err != nil {
			return nil, fmt.Errorf("list queueing disciplines: %w", err)
		}
		q.Device = names.of(index)
		list = append(list, q)
	}
	return list, nil
}

// parseQdisc reads an RTM_NEWQDISC message and returns the link's index too;
// rtnetlink(7), linux/gen_stats.h.
func parseQdisc(b []byte) (host.Qdisc, int, error) {
	var r reader
	var q host.Qdisc
	head, rest := r.header("tcmsg", b, tcmsgSize)
	index := int(int32(r.u32("tcm_ifindex", head[4:])))
	q.Handle = fmt.Sprintf("%x:", r.u32("tcm_handle", head[8:])>>16)
	q.Parent = tcParent(r.u32("tcm_parent", head[12:]))
	for kind, v := range r.attributes(rest) {
		switch kind {
		case tcaKind:
			q.Kind = r.text(v)
		case tcaOptions:
			if q.Kind == "netem" {
				parseNetem(&r, v, &q)
			}
		case tcaStats2:
			for kind, v := range r.attributes(v) {
				switch kind {
				case tcaStatsBasic:
					if len(v) < 12 {
						r.fail("TCA_STATS_BASIC", v, 12)
						break
					}
					q.Packets = max(q.Packets, uint64(r.u32("packets", v[8:])))
				case tcaStatsPkt64:
					q.Packets = r.u64("TCA_STATS_PKT64", v)
				case tcaStatsQueue:
					if len(v) < 12 {
						r.fail("TCA_STATS_QUEUE", v, 12)
						break
					}
					q.Backlog = r.u32("backlog", v[4:])
					q.Drops = uint64(r.u32("drops", v[8:]))
				}
			}
		}
	}
	return q, index, r.err
}

// tcParent tells a qdisc's place as tc(8) does.
func tcParent(n uint32) string {
	switch n {
	case tcParentRoot:
		return "root"
	case tcIngress:
		return "ingress"
	}
	return fmt.Sprintf("%x:%x", n>>16, n&0xffff)
}

// parseNetem reads the options of tc-netem(8): struct tc_netem_qopt, then
// attributes. Probabilities are fractions of 2^32-1.
func parseNetem(r *reader, b []byte, q *host.Qdisc) {
	head, rest := r.header("tc_netem_qopt", b, 24)
	// The old field counts ticks of 64 ns (PSCHED_SHIFT of net/pkt_sched.h).
	q.Delay = int64(r.u32("latency", head)) << 6
	loss := fraction(r.u32("loss", head[8:]))
	for kind, v := range r.attributes(rest) {
		switch kind {
		case tcaNetemLatency64:
			q.Delay = int64(r.u64("TCA_NETEM_LATENCY64", v))
		case tcaNetemLoss:
			for kind, v := range r.attributes(v) {
				switch kind {
				case netemLossGI:
					loss = lossState(r, v)
				case netemLossGE:
					loss = lossGilbert(r, v)
				}
			}
		}
	}
	q.Loss = math.Round(loss*1e6) / 1e4
}

func fraction(n uint32) float64 { return float64(n) / math.MaxUint32 }

// lossGilbert is the share of packets that the Gilbert-Elliott model loses in
// the long run: struct tc_netem_gemodel holds p, r, h and k1, where k1 is lost
// in the good state and h gets through in the bad one (tc-netem(8)).
func lossGilbert(r *reader, v []byte) float64 {
	if len(v) < 16 {
		r.fail("NETEM_LOSS_GE", v, 16)
		return 0
	}
	toBad, toGood := fraction(r.u32("p", v)), fraction(r.u32("r", v[4:]))
	through, lost := fraction(r.u32("h", v[8:])), fraction(r.u32("k1", v[12:]))
	if toBad+toGood == 0 {
		return lost
	}
	bad := toBad / (toBad + toGood)
	return bad*(1-through) + (1-bad)*lost
}

// lossState is about the share that the 4-state model loses: its bursts
// (p13, p31) and its single losses (p14) of struct tc_netem_gimodel; that some
// packets of a burst get through (p32, p23) is left out.
func lossState(r *reader, v []byte) float64 {
	if len(v) < 20 {
		r.fail("NETEM_LOSS_GI", v, 20)
		return 0
	}
	p13, p31, p14 := fraction(r.u32("p13", v)), fraction(r.u32("p31", v[4:])), fraction(r.u32("p14", v[12:]))
	if p13+p31 == 0 {
		return p14
	}
	return min(1, p13/(p13+p31)+p14)
}
