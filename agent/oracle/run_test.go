//go:build linux

package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// pair is a packet with what was predicted for it and what happened.
type pair struct {
	packet  *packet
	sent    *packet // the packet itself, or the answer to it
	result  eval.Result
	outcome outcome
	skipped bool // there is no connection that it could belong to
}

// load makes the namespace's rules those of r, and none else. The error is what
// a tool says of rules that it refuses.
func (w *world) load(r *ruleset) error {
	texts := map[string]string{"nft": r.nftText(), "ipset": r.setText()}
	for _, tool := range tools {
		texts[tool] = r.restoreText(tool)
	}
	return w.loadTexts(texts)
}

// loadTexts loads what each tool reads. Tables of iptables-legacy stay for as long
// as their namespace does: those that are not to be there are emptied.
func (w *world) loadTexts(texts map[string]string) error {
	if w.sets { // which rules must no longer ask
		if err := w.empty(nil); err != nil {
			return err
		}
	}
	if err := w.empty(texts); err != nil {
		return err
	}
	text := "flush ruleset\n" + traced + texts["nft"]
	if strings.Contains(text, " hook ingress ") {
		text += tracedEarly
	}
	if err := command(text, "nft", "-f", "-"); err != nil {
		return err
	}
	if w.sets {
		if err := command("", "ipset", "destroy"); err != nil {
			return err
		}
	}
	if w.sets = texts["ipset"] != ""; w.sets {
		if err := command(texts["ipset"], "ipset", "restore", "-exist"); err != nil {
			return err
		}
	}
	for _, tool := range tools {
		if texts[tool] == "" {
			continue
		}
		if strings.HasSuffix(tool, "legacy") {
			w.legacy[tool] = true
		}
		if err := command(texts[tool], tool+"-restore"); err != nil {
			return err
		}
	}
	return nil
}

// empty takes all rules from the tables of iptables-legacy that have some and of
// which texts don't make all anew.
func (w *world) empty(texts map[string]string) error {
	for tool := range w.legacy {
		var missing strings.Builder
		for _, table := range strings.SplitAfter(emptyTables, "COMMIT\n") {
			if head, _, _ := strings.Cut(table, "\n"); !strings.Contains(texts[tool], head+"\n") {
				missing.WriteString(table)
			}
		}
		if missing.Len() == 0 {
			continue
		}
		if err := command(missing.String(), tool+"-restore"); err != nil {
			return err
		}
		if texts[tool] == "" {
			delete(w.legacy, tool)
		}
	}
	return nil
}

// emptyTables has all tables of iptables with no rules.
const emptyTables = `*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
*security
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
`

// run sends packets through the rules that are loaded, one after the other,
// and says what was predicted for each and what happened.
func (w *world) run(packets []*packet) ([]pair, error) {
	all, err := w.host.Firewall(context.Background())
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	set := all.Rules
	if set.IPSets, err = w.host.IPSets(context.Background()); err != nil {
		return nil, fmt.Errorf("read the sets: %w", err)
	}
	if err := w.discard(); err != nil {
		return nil, err
	}
	pairs := make([]pair, len(packets))
	byID := make(map[uint16]*outcome, len(packets))
	for i, p := range packets {
		pairs[i].packet, pairs[i].sent = p, p
		byID[p.id] = &pairs[i].outcome
		if p.answer {
			back, err := w.answer(p, byID)
			if err != nil {
				return nil, fmt.Errorf("have %s answered: %w", p, err)
			}
			pairs[i].outcome = outcome{}
			if pairs[i].skipped = back == nil; back != nil {
				pairs[i].sent = back
			}
		} else if p.state == eval.Established {
			known, err := w.establish(p, byID)
			if err != nil {
				return nil, fmt.Errorf("establish the connection of %s: %w", p, err)
			}
			pairs[i].outcome = outcome{}
			pairs[i].skipped = !known
		}
		if !pairs[i].skipped {
			refused, err := w.wire.send(pairs[i].sent)
			if err != nil {
				return nil, fmt.Errorf("send %s: %w", p, err)
			}
			pairs[i].outcome.refused = refused
		}
		// The next packet must not find its address and port taken. What is no first
		// packet may have made a connection of its own, in another zone.
		forget := w.flows.clear
		if p.state == 0 && !p.answer {
			forget = func() error { return w.flows.forget(p) }
		}
		if err := forget(); err != nil {
			return nil, fmt.Errorf("forget the connection of %s: %w", p, err)
		}
	}
	if err := w.gather(byID); err != nil {
		return nil, err
	}
	w.predict(set, pairs)
	return slices.DeleteFunc(pairs, func(p pair) bool { return p.skipped }), nil
}

// gather waits until what was sent has been dealt with and takes what came of it.
func (w *world) gather(byID map[uint16]*outcome) error {
	if err := w.wire.settle(); err != nil {
		return err
	}
	err := w.wire.collect(func(id uint16, a arrival) {
		if o := byID[id]; o != nil {
			o.arrivals = append(o.arrivals, a)
		}
	}, func(id uint16, a answer) {
		if o := byID[id]; o != nil {
			o.answers = append(o.answers, a)
		}
	})
	if err != nil {
		return err
	}
	err = w.trace.collect(func(id uint16, e event) {
		if o := byID[id]; o != nil {
			o.events = append(o.events, e)
		}
	})
	if err != nil {
		return fmt.Errorf("hear the trace: %w", err)
	}
	return nil
}

// establish sends a packet like this as the first of its connection and has it
// seem answered. It reports whether the rules have let the connection come into
// being.
func (w *world) establish(p *packet, byID map[uint16]*outcome) (bool, error) {
	if _, err := w.wire.send(p); err != nil {
		return false, err
	}
	known, err := w.flows.answered(p)
	if err != nil {
		return false, err
	}
	return known, w.gather(byID)
}

func (w *world) predict(set *rules.Ruleset, pairs []pair) {
	machine := eval.Compile(set, w.facts)
	for i := range pairs {
		p := pairs[i].sent
		m := p.model(w)
		if m.First != nil {
			first := machine.Trace(p.first.way, m.First)
			m.First.FlowMark, m.First.FlowMarked = first.FlowMark, !first.FlowMarkUnknown
		}
		pairs[i].result = machine.Trace(p.way, m)
	}
}

// discard forgets what is left of earlier packets.
func (w *world) discard() error {
	if err := w.flows.clear(); err != nil {
		return fmt.Errorf("clear the connections: %w", err)
	}
	if err := w.wire.collect(func(uint16, arrival) {}, func(uint16, answer) {}); err != nil {
		return err
	}
	return w.trace.collect(func(uint16, event) {})
}
