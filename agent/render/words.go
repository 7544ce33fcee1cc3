package render

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
)

// maxSubject bounds the name of a target in a headline.
const maxSubject = 80

// subject names what was asked about: localhost:5432/tcp, /run/x.sock,
// https://host/path, 10.0.0.9 -> 10.0.0.5:8080/tcp. It is not escaped.
func subject(r *diagnose.Report) string {
	t := r.Target
	if r.From != "" {
		return r.From + " -> " + net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))) + "/" + t.Network
	}
	if t.Network == "unix" {
		return t.Path
	}
	if scheme, _, ok := strings.Cut(t.Input, "://"); ok && !strings.HasPrefix(scheme, "tcp") && !strings.HasPrefix(scheme, "udp") {
		return t.Input
	}
	return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))) + "/" + t.Network
}

// phrases say how an attempt ended, and how it would end.
var phrases = map[diagnose.Outcome][2]string{
	diagnose.Unknown:            {"no answer that tells", "can't be told"},
	diagnose.Connected:          {"connected", "would connect"},
	diagnose.Bound:              {"can be bound", "could be bound"},
	diagnose.Refused:            {"refused", "would be refused"},
	diagnose.Reset:              {"reset", "would be reset"},
	diagnose.Timeout:            {"no answer", "would time out"},
	diagnose.HostUnreachable:    {"host unreachable", "host would be unreachable"},
	diagnose.NetUnreachable:     {"network unreachable", "network would be unreachable"},
	diagnose.Denied:             {"denied", "would be denied"},
	diagnose.InUse:              {"address already in use", "address is in use"},
	diagnose.AddressUnavailable: {"address not available", "address would not be available"},
	diagnose.Unresolved:         {"the name does not resolve", "the name does not resolve"},
	diagnose.ProtocolError:      {"protocol error", "would end in a protocol error"},
}

// atOnce is how fast an answer is that came from this host's own kernel.
const atOnce = 10 * time.Millisecond

// headline says in a few words how the target is.
func headline(r *diagnose.Report) string {
	observed := false
	for _, f := range r.Flows {
		observed = observed || f.Observed != nil
	}
	if !observed {
		return phrase(r.Outcome, 1) + " (not tried)"
	}
	flow, addrs := deciding(r)
	if c := r.RootCause; c != nil && c.After {
		if c.Outcome == diagnose.Reset {
			return "connected, then reset"
		}
		return "connected, but not served"
	}
	words := phrase(r.Outcome, 0)
	took := time.Duration(0)
	if flow != nil {
		took = time.Duration(flow.Observed.AfterUS) * time.Microsecond
		if flow.Network == "udp" && r.Outcome == diagnose.Connected && flow.Observed.Outcome == diagnose.Unknown {
			return "a socket takes it, nothing came back"
		}
	}
	var about []string
	if !literal(r) {
		about = append(about, join(addrs, "and"))
	}
	switch {
	case flow == nil:
	case r.Outcome == diagnose.Connected:
		words += " in " + duration(took)
		if len(r.Flows) == len(addrs) {
			about = nil
		}
	case r.Outcome == diagnose.Bound:
		about = nil
	case r.Outcome == diagnose.Timeout:
		words += " within " + duration(took)
	case took < atOnce:
		about = append(about, "at once")
	default:
		about = append(about, "after "+duration(took))
	}
	if s := strings.Join(about, ", "); s != "" {
		words += " (" + s + ")"
	}
	return words
}

func phrase(o diagnose.Outcome, tense int) string {
	if p, ok := phrases[o]; ok {
		return p[tense]
	}
	return o.String()
}

// deciding is the first tried flow that ended as the report says, and the
// addresses of all such flows.
func deciding(r *diagnose.Report) (*diagnose.FlowReport, []string) {
	var first *diagnose.FlowReport
	var addrs []string
	for i, f := range r.Flows {
		if f.Observed == nil || f.Observed.Outcome != r.Outcome && f.Network != "udp" {
			continue
		}
		if first == nil {
			first = &r.Flows[i]
		}
		if f.Destination != "" {
			addrs = append(addrs, f.Destination)
		}
	}
	return first, addrs
}

// literal reports whether the target names its one address itself.
func literal(r *diagnose.Report) bool {
	if r.Target.Network == "unix" || len(r.Target.Addresses) == 0 {
		return true
	}
	_, err := netip.ParseAddr(r.Target.Host)
	return err == nil
}

// duration writes a time as people read it.
func duration(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case d < 10*time.Second && d%time.Second >= 50*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// join makes "a, b and c".
func join(s []string, word string) string {
	switch len(s) {
	case 0:
		return ""
	case 1:
		return s[0]
	}
	return strings.Join(s[:len(s)-1], ", ") + " " + word + " " + s[len(s)-1]
}

// sentence is a cause in one sentence, with its confidence.
func sentence(c diagnose.Cause) string {
	title := strings.TrimSuffix(c.Title, ".") + "."
	switch c.Confidence {
	case diagnose.Proven:
		return title
	case diagnose.Likely:
		return "Likely: " + title
	}
	return "Possibly: " + title
}
