//go:build linux

package oracle

import (
	"context"
	"fmt"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// pair is a packet with what was predicted for it and what happened.
type pair struct {
	packet  *packet
	result  eval.Result
	outcome outcome
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

// loadTexts loads what each tool reads.
func (w *world) loadTexts(texts map[string]string) error {
	return command("flush ruleset\n"+traced+texts["nft"], "nft", "-f", "-")
}

// run sends packets through the rules that are loaded, one after the other,
// and says what was predicted for each and what happened.
func (w *world) run(packets []*packet) ([]pair, error) {
	set, err := w.host.ReadRuleset(context.Background())
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	if err := w.discard(); err != nil {
		return nil, err
	}
	pairs := make([]pair, len(packets))
	byID := make(map[uint16]*outcome, len(packets))
	for i, p := range packets {
		pairs[i].packet = p
		byID[p.id] = &pairs[i].outcome
		refused, err := w.wire.send(p)
		if err != nil {
			return nil, fmt.Errorf("send %s: %w", p, err)
		}
		pairs[i].outcome.refused = refused
		// The next packet must not find its address and port taken.
		if err := w.flows.forget(p); err != nil {
			return nil, fmt.Errorf("forget the connection of %s: %w", p, err)
		}
	}
	if err := w.wire.settle(); err != nil {
		return nil, err
	}
	if err := w.wire.collect(func(id uint16, a arrival) {
		if o := byID[id]; o != nil {
			o.arrivals = append(o.arrivals, a)
		}
	}, func(id uint16, a answer) {
		if o := byID[id]; o != nil {
			o.answers = append(o.answers, a)
		}
	}); err != nil {
		return nil, err
	}
	if err := w.trace.collect(func(id uint16, e event) {
		if o := byID[id]; o != nil {
			o.events = append(o.events, e)
		}
	}); err != nil {
		return nil, fmt.Errorf("hear the trace: %w", err)
	}
	w.predict(set, pairs)
	return pairs, nil
}

func (w *world) predict(set *rules.Ruleset, pairs []pair) {
	machine := eval.Compile(set, w.facts)
	for i := range pairs {
		p := pairs[i].packet
		pairs[i].result = machine.Trace(p.way, p.model(w))
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
