//go:build linux

package oracle

import (
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules/eval"
)

var (
	seed       = flag.Int64("seed", 1, "first seed; each ruleset has the next")
	pairsMax   = flag.Int("pairs", 20000, "how many pairs of ruleset and packet are compared; 0 for no end")
	perRuleset = flag.Int("packets", 100, "packets for each ruleset")
	failures   = flag.Int("failures", 1, "how many failures end the run")
	kinds      = flag.String("kind", "all", "rules of which kind: nft, netdev, iptables, mixed or all")
	verbose    = flag.Bool("rules", false, "print the rules as they were before a failure was shrunk")
	fresh      = flag.Int("fresh", 100, "rulesets after which namespaces are made anew: tables of iptables-legacy last as long as those")
	workers    = flag.Int("workers", runtime.NumCPU(), "how many namespaces work at once")
)

// tally is what a run has seen.
type tally struct {
	sync.Mutex
	pairs, unknown, doubted, accepted, answered, rulesets, refused, steps int
	odd, later, answers, rejects                                          int
	failures                                                              int
	reasons                                                               map[string]int
}

func TestOracle(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	for _, program := range append([]string{"nft", "ip", "ipset"}, tools...) {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs", program)
		}
	}
	start := time.Now()
	all := &tally{reasons: map[string]int{}}
	var group sync.WaitGroup
	next := make(chan int64)
	done := make(chan struct{})
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	for i := range *workers {
		group.Add(1)
		go func() {
			defer group.Done()
			runtime.LockOSThread() // never unlocked: the thread ends, and its namespace
			if err := work(t, i, next, done, all); err != nil {
				t.Error(err)
			}
		}()
	}
	go func() {
		defer close(next)
		for s := *seed; ; s++ {
			all.Lock()
			end := *pairsMax > 0 && all.pairs >= *pairsMax || all.failures >= *failures
			all.Unlock()
			if end {
				return
			}
			select {
			case next <- s:
			case <-done:
				return
			case <-stop.Done():
				return
			}
		}
	}()
	group.Wait()
	all.report(t, time.Since(start))
	if all.pairs < *pairsMax {
		t.Errorf("%d pairs were to be compared", *pairsMax)
	}
	// What agrees on nothing, or on little, shows nothing.
	if enough := all.pairs >= 10000; enough && (all.unknown*50 > all.pairs || all.accepted*10 < all.pairs || all.accepted*10 > 9*all.pairs || all.answered*5 < all.rejects || all.refused > all.rulesets) {
		t.Error("the comparison shows little")
	}
}

func work(t *testing.T, cpu int, seeds chan int64, done chan struct{}, all *tally) error {
	w, err := newWorld(cpu)
	if err != nil {
		return err
	}
	defer func() { w.close() }()
	loaded := 0
	for s := range seeds {
		if loaded++; loaded%*fresh == 0 {
			w.close()
			if w, err = newWorld(cpu); err != nil {
				return err
			}
		}
		if err := w.try(t, s, all); err != nil {
			select {
			case <-done:
			default:
				close(done)
			}
			return fmt.Errorf("seed %d: %w", s, err)
		}
	}
	return nil
}

// rules makes random ones of the kind that is asked for.
func (d dice) rules() *ruleset {
	kind := *kinds
	if kind == "all" {
		kind = pick(d, "nft", "nft", "nft", "iptables", "iptables", "netdev", "mixed")
	}
	switch kind {
	case "iptables":
		return d.xtablesRules()
	case "mixed":
		r := d.nftRules("ip", "ip6", "inet")
		other := d.xtablesRules()
		r.sets, r.tables = other.sets, other.tables
		return r
	case "netdev":
		return d.nftRules("netdev", "netdev", "inet")
	}
	return d.nftRules("ip", "ip", "ip6", "inet", "inet")
}

// try compares one ruleset.
func (w *world) try(t *testing.T, s int64, all *tally) error {
	d := dice{rand.New(rand.NewSource(s))}
	r := d.rules()
	if err := w.load(r); err != nil {
		all.Lock()
		defer all.Unlock()
		all.refused++
		if all.refused < 10 {
			text := err.Error()
			t.Logf("seed %d: %s", s, text[:min(len(text), 400)])
		}
		return nil
	}
	packets := make([]*packet, *perRuleset)
	ports := d.Perm(60000)
	for i := range packets {
		packets[i] = d.packet(uint16(1+i+int(s%500)*100), uint16(1024+ports[i]))
	}
	pairs, err := w.run(packets)
	if err != nil {
		return err
	}
	if failed := all.add(pairs); failed != nil {
		w.tell(t, s, r, failed)
	}
	return nil
}

// tell shrinks a pair that disagrees and reports it.
func (w *world) tell(t *testing.T, s int64, r *ruleset, failed *pair) {
	why, note := disagreement(&failed.result, &failed.outcome), "shrunk"
	if out, err := exec.Command("nft", "-a", "list", "ruleset").Output(); err == nil && *verbose {
		t.Logf("%s", out)
	}
	if w.shrink(r, failed.packet) {
		pairs, err := w.run([]*packet{failed.packet})
		if err == nil && len(pairs) == 1 {
			if now := disagreement(&pairs[0].result, &pairs[0].outcome); now != "" {
				why, failed = now, &pairs[0]
			}
		}
	} else {
		note = "not without the packets before it"
	}
	if *record != "" && note == "shrunk" {
		text := archive(why, r, failed)
		if err := os.WriteFile(filepath.Join("testdata", *record+".txtar"), text, 0o644); err != nil {
			t.Error(err)
		}
	}
	t.Errorf("seed %d: %s (%s)\n%s\n%s\n%s", s, why, note, failed.packet, explain(&failed.result, &failed.outcome), r)
}

// add counts pairs, and gives the first that disagrees.
func (all *tally) add(pairs []pair) (failed *pair) {
	all.Lock()
	defer all.Unlock()
	all.rulesets++
	for i := range pairs {
		p := &pairs[i]
		all.pairs++
		all.steps += len(p.outcome.events)
		if p.result.Verdict == eval.Reject {
			all.rejects++
			all.answered += min(1, len(p.outcome.answers))
		}
		switch {
		case p.packet.answer:
			all.answers++
		case p.packet.state != 0:
			all.later++
		case p.packet.odd != "":
			all.odd++
		}
		if len(p.outcome.arrivals) > 0 {
			all.accepted++
		}
		if len(p.result.Doubts) > 0 {
			all.doubted++
		}
		if p.result.Verdict == eval.Unknown {
			all.unknown++
			why := "no reason"
			if len(p.result.Doubts) > 0 {
				d := p.result.Doubts[len(p.result.Doubts)-1]
				why = d.Expression + ": " + d.Why
			}
			all.reasons[why]++
		}
		if failed == nil && disagreement(&p.result, &p.outcome) != "" {
			failed = p
			all.failures++
		}
	}
	return failed
}

func (all *tally) report(t *testing.T, took time.Duration) {
	t.Logf("%d pairs of %d rulesets (%d refused by their tools) in %v: %.0f/s; %d came out, %d of %d rejects were answered, %d steps; %d later packets of a flow, %d answers, %d oddly made; %d with doubts, %d unknown (%.2f %%)",
		all.pairs, all.rulesets, all.refused, took.Round(time.Millisecond), float64(all.pairs)/took.Seconds(), all.accepted, all.answered, all.rejects, all.steps, all.later, all.answers, all.odd, all.doubted,
		all.unknown, 100*float64(all.unknown)/float64(max(1, all.pairs)))
	var lines []string
	for why, n := range all.reasons {
		lines = append(lines, fmt.Sprintf("%7d %s", n, why))
	}
	slices.Sort(lines)
	slices.Reverse(lines)
	t.Log("unknown:\n" + strings.Join(lines, "\n"))
}
