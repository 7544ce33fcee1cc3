package check

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
)

// Spec is one check: whom it asks, and what must hold.
type Spec struct {
	// Name is what people call it; [Spec.Title] makes one where there is none.
	Name string
	// Target is whom it asks about; nil for a check of the firewall.
	Target *diagnose.Target
	// Expect is how connecting has to end; empty: nothing is connected to.
	Expect Expect
	// AnsweredBy is who has to answer, where Expect is Reachable.
	AnsweredBy Who
	// TLSName is the name that the certificate has to be good for; empty: the
	// target's. MinDays is how many days it has to be good for at least; -1: it
	// isn't asked.
	TLSName string
	MinDays int
	// Latency bounds the time until it connects; 0: none.
	Latency time.Duration
	// Queue bounds how full the accept queue is, in percent; -1: it isn't asked.
	Queue float64
	// BoundBy is who alone may have the port; zero: it isn't asked.
	BoundBy Who
	// UnreachableFrom and ReachableFrom are from where the target can't, or can,
	// be reached, by the model of the firewall and the routes: nothing is sent.
	UnreachableFrom, ReachableFrom []Sources
	// Firewall is what the firewall has to be like; nil: it isn't asked.
	Firewall *Saved
	// Plan is a plan that has to hold by itself and here; nil: it isn't asked.
	Plan *Planned

	Timeout time.Duration // of one probe; 0: the caller's
	Retry   int           // how often it is asked again if it fails; -1: the caller's

	// File, Line and Column are where it is written; empty and 0 for one that is
	// given on the command line.
	File         string
	Line, Column int
}

// Expect is how connecting to a target has to end.
type Expect string

// Reachable is to connect, and to be served. Refused is to be told so by a
// reset. Closed is not to connect, in whatever way.
const (
	Reachable Expect = "reachable"
	Refused   Expect = "refused"
	Closed    Expect = "closed"
)

// Who is who has a socket; what is empty is not asked.
type Who struct {
	Process   string // the program's name, as in ps
	Unit      string // of systemd; .service may be left out
	User      string // name or number
	Container string // name or id
}

// IsZero reports whether nobody is meant.
func (w Who) IsZero() bool { return w == Who{} }

// String is who is meant, in words.
func (w Who) String() string {
	var parts []string
	for _, p := range []struct{ kind, name string }{{"", w.Process}, {"unit ", w.Unit}, {"user ", w.User}, {"container ", w.Container}} {
		if p.name != "" {
			parts = append(parts, p.kind+p.name)
		}
	}
	return strings.Join(parts, ", ")
}

// Sources are addresses from which packets come, by a device if one is named.
type Sources struct {
	Prefix netip.Prefix
	Device string
}

// String is the address or the network as people write it.
func (s Sources) String() string {
	text := s.Prefix.String()
	if s.Prefix.IsSingleIP() {
		text = s.Prefix.Addr().String()
	}
	if s.Device != "" {
		text += "%" + s.Device
	}
	return text
}

// Saved is a state of the firewall that was kept: the file that `portwhy rules
// -o json` wrote, or the fingerprint that it has.
type Saved struct {
	File        string
	Fingerprint string
}

// Planned is a plan's file, the environment that is here and the name that the plan
// gives to this host; empty: the only one, and by its addresses.
type Planned struct{ File, Environment, Host string }

// Kinds of checks, by what they ask.
const (
	kindConnect  = "connect"
	kindBound    = "bound"
	kindFrom     = "from"
	kindFirewall = "firewall"
	kindPlan     = "plan"
)

func (s Spec) kind() string {
	switch {
	case s.Firewall != nil:
		return kindFirewall
	case s.Plan != nil:
		return kindPlan
	case !s.BoundBy.IsZero():
		return kindBound
	case len(s.UnreachableFrom)+len(s.ReachableFrom) > 0:
		return kindFrom
	}
	return kindConnect
}

// Title names the check: as its author did, or else by what it asks.
func (s Spec) Title() string {
	if s.Name != "" {
		return s.Name
	}
	switch s.kind() {
	case kindFirewall:
		if s.Firewall.File != "" {
			return "firewall as in " + s.Firewall.File
		}
		return "firewall unchanged"
	case kindPlan:
		return "plan " + s.Plan.File
	case kindBound:
		return s.Target.Input + " only for " + s.BoundBy.String()
	case kindFrom:
		var parts []string
		for _, from := range s.UnreachableFrom {
			parts = append(parts, "not from "+from.String())
		}
		for _, from := range s.ReachableFrom {
			parts = append(parts, "from "+from.String())
		}
		return s.Target.Input + " " + strings.Join(parts, ", ")
	}
	if s.Expect == Reachable {
		return s.Target.Input
	}
	return fmt.Sprintf("%s %s", s.Target.Input, s.Expect)
}

// ForTarget is the check of a target that is given on the command line.
func ForTarget(t diagnose.Target, expect Expect) Spec {
	return Spec{Target: &t, Expect: expect, MinDays: -1, Queue: -1, Retry: -1}
}
