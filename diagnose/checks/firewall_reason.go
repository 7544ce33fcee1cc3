package checks

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/rules"
)

// reasoned names the cause by why the rule takes the packet, where that says more
// than where it stands: there is the flow's first packet, t it or the answer.
func reasoned(c *diagnose.Cause, tracer *firewall.Tracer, there, t *firewall.Trace) bool {
	if queue, unread := t.UnreadQueue(); unread {
		c.Code = "firewall-queue-unread"
		c.Title = fmt.Sprintf("A rule hands the %s to a program by queue %d, and no program reads that: %s (%s).", packetWord(t), queue, firewall.Quoted(t.DecidedBy.Text), t.DecidedBy.Where())
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "/proc/net/netfilter/nfnetlink_queue", What: fmt.Sprintf("programs that read queue %d", queue), Value: "none"})
		c.Fixes = append(c.Fixes, bypasses(tracer, there.Asked, t)...)
		return true
	}
	if !t.InvalidState() {
		return false
	}
	c.Code = "firewall-invalid-state"
	more := "connection tracking knows no connection that it fits"
	untracker := there.Untracker()
	switch {
	case t.Early():
		more = fmt.Sprintf("the chain runs before connection tracking (priority %d), where every packet is invalid", t.DecidedBy.Priority)
	case t.Answers() && untracker != nil:
		more = fmt.Sprintf("connection tracking hasn't seen the first packet, by %s (%s), so that the answer fits no connection", firewall.Quoted(untracker.Text), untracker.Where())
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: tool(untracker.Backend), What: untracker.Where(), Value: untracker.Text})
	}
	c.Title = strings.TrimSuffix(c.Title, ".") + "; its state is invalid: " + more + "."
	return true
}

func packetWord(t *firewall.Trace) string {
	if t.Answers() {
		return "answer"
	}
	return "packet"
}

// bypasses lets packets pass a queue that nobody reads, where the rule's own tool
// can put another in its place and take that back.
func bypasses(tracer *firewall.Tracer, asked firewall.Packet, t *firewall.Trace) []diagnose.Fix {
	d := t.DecidedBy
	bare, ok := strings.CutPrefix(d.Text, "-A "+d.Chain+" ")
	if d.Backend == rules.NFT || d.Number == nil || !ok || !strings.Contains(bare, "-j NFQUEUE ") {
		return nil
	}
	words, plain := strings.Fields(bare), !strings.ContainsAny(bare, `"'\`)
	if !plain {
		return nil
	}
	other := append(words[:len(words):len(words)], "--queue-bypass")
	with, err := tracer.Instead(t, strings.Join(other, " "))
	if err != nil {
		return nil
	}
	look, err := with.Look(asked)
	if err != nil {
		return nil
	}
	in := append(iptables(t), "-R", d.Chain, strconv.Itoa(*d.Number))
	return []diagnose.Fix{{Title: "let packets pass while no program reads the queue", NeedsRoot: true, Check: "simulated", Risk: "medium", PredictedOutcome: predicted(look),
		Opens:    "all that the rule hands to the queue, whenever no program reads it",
		Commands: [][]string{append(in[:len(in):len(in)], other...)}, Undo: [][]string{append(in[:len(in):len(in)], words...)}}}
}
