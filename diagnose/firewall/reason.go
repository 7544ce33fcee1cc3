package firewall

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// Answers reports whether the packet is the answer to another.
func (t *Trace) Answers() bool { return t.answers }

// Established reports whether conntrack knows the packet as one of a connection
// where it is decided.
func (t *Trace) Established() bool { return t.state == eval.Established }

// UnreadQueue is the queue to which the rule that decided hands the packet, where
// that is why it is lost: no program reads the queue.
func (t *Trace) UnreadQueue() (number uint16, unread bool) {
	if t.decided == nil || t.Verdict != "drop" {
		return 0, false
	}
	for _, e := range t.decided.Exprs.All() {
		switch e := e.(type) {
		case *rules.QueueTo:
			return e.Num, true
		case *rules.Target:
			if e.Ext == "NFQUEUE" && len(e.Data) >= 2 {
				return binary.NativeEndian.Uint16(e.Data), true
			}
		}
	}
	return 0, false
}

// InvalidState reports whether the rule that decided asks for the state of the
// packet's connection, and the packet has none: it is invalid.
func (t *Trace) InvalidState() bool {
	return t.decided != nil && (t.state == eval.Invalid || t.Early()) && asksState(t.decided)
}

// Early reports whether connection tracking has not seen the packet yet where it
// is decided: every packet is invalid there.
func (t *Trace) Early() bool { return t.state == 0 }

func asksState(r *rules.Rule) bool {
	return slices.ContainsFunc(r.Exprs.All(), func(e rules.Expr) bool {
		switch e := e.(type) {
		case *rules.CT:
			return e.Key == 0 && !e.Write // NFT_CT_STATE
		case *rules.Match:
			return e.Ext == "state" || e.Ext == "conntrack" && strings.Contains(r.Text, "--ctstate ")
		}
		return false
	})
}

// Untracker is the rule that keeps the packet from connection tracking, nil if
// there is none.
func (t *Trace) Untracker() *Rule {
	for i, s := range t.Steps {
		if s.at.rule != nil && slices.ContainsFunc(s.at.rule.Exprs.All(), untracks) {
			return &t.Steps[i].Rule
		}
	}
	return nil
}

func untracks(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.Notrack:
		return true
	case *rules.Target:
		const notrack = 1 // XT_CT_NOTRACK
		return e.Ext == "NOTRACK" || e.Ext == "CT" && len(e.Data) >= 2 && binary.NativeEndian.Uint16(e.Data)&notrack != 0
	}
	return false
}
