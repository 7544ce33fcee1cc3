package diagnose

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// scripted is a host whose probe and firewall are given; the checks of these
// tests ask it nothing else.
type scripted struct {
	host.Host
	attempts map[string]host.Attempt
	firewall []*rules.Table
	tracked  bool // the kernel tracks connections
	names    map[string][]netip.Addr
}

func (s scripted) Info(context.Context) (host.Info, error) {
	return host.Info{OS: "linux", Privileged: true, At: time.Unix(0, 0)}, nil
}

func (s scripted) Connect(_ context.Context, q host.ConnectQuery) (host.Attempt, error) {
	a, ok := s.attempts[q.Address.Addr().String()]
	if !ok {
		return a, host.ErrNotRecorded
	}
	return a, nil
}

func (s scripted) Sysctl(_ context.Context, key string) (host.Sysctl, error) {
	if !s.tracked {
		return host.Sysctl{}, host.ErrUnsupported
	}
	return host.Sysctl{Key: key, Value: "1"}, nil
}

func (s scripted) Firewall(context.Context) (host.Firewall, error) {
	return host.Firewall{Rules: &rules.Ruleset{Tables: s.firewall}}, nil
}

func (s scripted) Resolve(_ context.Context, name string) (host.Resolution, error) {
	if a := s.names[name]; a != nil {
		return host.Resolution{Name: name, Addresses: a, Source: "files"}, nil
	}
	return host.Resolution{}, errors.New("broken")
}

// stop makes a check that stops every flow to addr (any if empty) with the causes.
func stop(id string, behind bool, when Phase, addr string, causes ...Cause) *Check {
	return &Check{ID: id, Doc: id, For: AskConnect, Behind: behind, When: when, Run: func(p *Pass) error {
		p.Flow.Local = true
		if addr != "" && p.Flow.Addr().String() != addr {
			return nil
		}
		for _, c := range causes {
			p.Stop(c)
		}
		return nil
	}}
}

func refused() host.Attempt { return host.Attempt{Errno: "ECONNREFUSED", Elapsed: time.Millisecond} }
func silent() host.Attempt  { return host.Attempt{Errno: "ETIMEDOUT", Elapsed: 3 * time.Second} }

func TestJudge(t *testing.T) {
	firewall := func(family rules.Family, hook rules.Hook, kind string) []*rules.Table {
		return []*rules.Table{{Family: family, Chains: []*rules.Chain{{Hook: hook, Type: kind, Rules: []*rules.Rule{{}}}}}}
	}
	filter := firewall(rules.Inet, rules.Input, "filter")
	for name, c := range map[string]struct {
		target   string
		attempts map[string]host.Attempt
		firewall []*rules.Table
		tracked  bool
		checks   []*Check
		noProbe  bool

		status     Status
		outcome    Outcome
		root       string
		confidence Confidence
		explains   bool
		causes     []string
		findings   []string
	}{
		"agreement proves": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": refused()},
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: Broken, outcome: Refused, root: "no-listener", confidence: Proven, explains: true, causes: []string{"no-listener"}},
		"a doubt keeps it likely": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": refused()},
			checks: []*Check{stop("a", false, Predict, "", Cause{Code: "x", Outcome: Refused, Doubt: "who knows", Ceiling: Likely})},
			status: Broken, outcome: Refused, root: "x", confidence: Likely, explains: true, causes: []string{"x"}},
		"an unread firewall keeps it likely": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": refused()}, firewall: filter,
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: Broken, outcome: Refused, root: "no-listener", confidence: Likely, explains: true, causes: []string{"no-listener"}, findings: []string{"firewall-unmodelled"}},
		"the kernel's own reset proves it in spite of a firewall": {
			target: "127.0.0.1:1", firewall: filter,
			attempts: map[string]host.Attempt{"127.0.0.1": {Errno: "ECONNREFUSED", Moved: map[string]int64{"Tcp.OutRsts": 1}}},
			checks:   []*Check{stop("a", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status:   Broken, outcome: Refused, root: "no-listener", confidence: Proven, explains: true, causes: []string{"no-listener"}},
		"but not where NAT may have led elsewhere": {
			target: "127.0.0.1:1", firewall: firewall(rules.IP, rules.Output, "nat"), tracked: true,
			attempts: map[string]host.Attempt{"127.0.0.1": {Errno: "ECONNREFUSED", Moved: map[string]int64{"Tcp.OutRsts": 1}}},
			checks:   []*Check{stop("a", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status:   Broken, outcome: Refused, root: "no-listener", confidence: Likely, explains: true, causes: []string{"no-listener"}, findings: []string{"firewall-unmodelled"}},
		"what lies before the firewall needs no look at it": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": {Errno: "ENETUNREACH"}}, firewall: filter,
			checks: []*Check{stop("a", false, Predict, "", Cause{Code: "no-route", Outcome: NetUnreachable})},
			status: Broken, outcome: NetUnreachable, root: "no-route", confidence: Proven, explains: true, causes: []string{"no-route"}},
		"TCP refused by ICMP is never the absent listener for sure": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": {Errno: "ECONNREFUSED", ICMP: &host.ICMP{Version: 4, Type: 3, Code: 3}}},
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: Broken, outcome: Refused, root: "no-listener", confidence: Likely, explains: true, causes: []string{"no-listener"}},
		"nothing explains it": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": silent()},
			status: StatusUnknown, outcome: Timeout, findings: []string{"prediction-differs"}},
		"a cause that does not fit explains nothing": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": silent()},
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: StatusUnknown, outcome: Timeout, causes: []string{"no-listener"}, findings: []string{"prediction-differs"}},
		"the first that fits is the root, the rest follow": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": silent()},
			checks: []*Check{stop("a", false, Predict, "", Cause{Code: "qdisc-drop", Outcome: Timeout}), stop("b", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: Broken, outcome: Timeout, root: "qdisc-drop", confidence: Proven, explains: true, causes: []string{"qdisc-drop", "no-listener"}},
		"an earlier one that should have acted spoils the proof": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": refused()},
			checks: []*Check{stop("a", false, Predict, "", Cause{Code: "qdisc-drop", Outcome: Timeout}), stop("b", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: Broken, outcome: Refused, root: "no-listener", confidence: Likely, explains: true, causes: []string{"no-listener", "qdisc-drop"}},
		"healthy": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": {}},
			status: OK, outcome: Connected},
		"healthy against the prediction is a warning": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": {}},
			checks: []*Check{stop("a", false, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: Warning, outcome: Connected, findings: []string{"prediction-differs"}},
		"what follows the connection breaks it": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": {}},
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "listener-stopped", Outcome: Connected, After: true})},
			status: Broken, outcome: Connected, root: "listener-stopped", confidence: Proven, explains: true, causes: []string{"listener-stopped"}},
		"a connection that was taken disproves a process that takes none": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": {Accepted: "yes"}},
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "listener-stopped", Outcome: Connected, After: true, Unaccepted: true})},
			status: Warning, outcome: Connected, findings: []string{"prediction-differs"}},
		"a connection that nobody took leaves no doubt who else could have": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": {Accepted: "no"}},
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "listener-stopped", Outcome: Connected, After: true, Unaccepted: true, Doubt: "hidden", Ceiling: Likely})},
			status: Broken, outcome: Connected, root: "listener-stopped", confidence: Proven, explains: true, causes: []string{"listener-stopped"}},
		"one address that works is enough, a quick refusal of the other a note": {
			target: "both:1", attempts: map[string]host.Attempt{"::1": refused(), "127.0.0.1": {}},
			checks: []*Check{stop("a", true, Predict, "::1", Cause{Code: "listener-other-family", Outcome: Refused})},
			status: OK, outcome: Connected, findings: []string{"listener-other-family"}},
		"a slow one beside it is a warning": {
			target: "both:1", attempts: map[string]host.Attempt{"::1": silent(), "127.0.0.1": {}},
			checks: []*Check{stop("a", false, Predict, "::1", Cause{Code: "qdisc-drop", Outcome: Timeout})},
			status: Warning, outcome: Connected, causes: []string{"qdisc-drop"}, findings: []string{"qdisc-drop"}},
		"the same cause at both addresses is one": {
			target: "both:1", attempts: map[string]host.Attempt{"::1": refused(), "127.0.0.1": refused()},
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: Broken, outcome: Refused, root: "no-listener", confidence: Proven, explains: true, causes: []string{"no-listener"}},
		"without a probe it is likely at most": {
			target: "127.0.0.1:1", noProbe: true,
			checks: []*Check{stop("a", false, Predict, "", Cause{Code: "no-listener", Outcome: Refused})},
			status: Broken, outcome: Refused, root: "no-listener", confidence: Likely, explains: true, causes: []string{"no-listener"}},
		"unless the kernel itself was asked": {
			target: "127.0.0.1:1", noProbe: true,
			checks: []*Check{stop("a", false, Predict, "", Cause{Code: "reply-route", Outcome: Timeout, Asked: true})},
			status: Broken, outcome: Timeout, root: "reply-route", confidence: Proven, explains: true, causes: []string{"reply-route"}},
		"a member that hangs now and then is not disproved by one success": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": {}},
			checks: []*Check{stop("a", true, Predict, "", Cause{Code: "reuseport-stuck-member", Outcome: Connected, After: true, Sometimes: true})},
			status: Broken, outcome: Connected, root: "reuseport-stuck-member", confidence: Proven, explains: true, causes: []string{"reuseport-stuck-member"}},
		"an observation explains after the fact": {
			target: "127.0.0.1:1", attempts: map[string]host.Attempt{"127.0.0.1": refused()},
			checks: []*Check{stop("a", false, Explain, "", Cause{Code: "remote-refused", Outcome: Refused})},
			status: Broken, outcome: Refused, root: "remote-refused", confidence: Proven, explains: true, causes: []string{"remote-refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := ParseTarget(c.target)
			if err != nil {
				t.Fatal(err)
			}
			h := scripted{attempts: c.attempts, firewall: c.firewall, tracked: c.tracked, names: map[string][]netip.Addr{"both": {netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")}}}
			rep, err := Run(t.Context(), h, target, c.checks, Options{NoProbe: c.noProbe})
			if err != nil {
				t.Fatal(err)
			}
			if rep.Status != c.status || rep.Outcome != c.outcome {
				t.Errorf("status %s outcome %s, want %s %s", rep.Status, rep.Outcome, c.status, c.outcome)
			}
			root := Cause{}
			if rep.RootCause != nil {
				root = *rep.RootCause
			}
			if root.Code != c.root || root.Confidence != c.confidence || root.Explains != c.explains {
				t.Errorf("root %q %s explains %v (%s), want %q %s %v", root.Code, root.Confidence, root.Explains, root.Because, c.root, c.confidence, c.explains)
			}
			var causes, findings []string
			for _, x := range rep.Causes {
				causes = append(causes, x.Code)
			}
			for _, x := range rep.Findings {
				findings = append(findings, x.Code)
			}
			if !slices.Equal(causes, c.causes) || !slices.Equal(findings, c.findings) {
				t.Errorf("causes %v findings %v, want %v %v", causes, findings, c.causes, c.findings)
			}
		})
	}
}

func TestFailedCheckIsALimit(t *testing.T) {
	target, _ := ParseTarget("127.0.0.1:1")
	h := scripted{attempts: map[string]host.Attempt{"127.0.0.1": {}}}
	rep, err := Run(t.Context(), h, target, []*Check{{ID: "a", Doc: "the thing", For: AskConnect, Run: func(*Pass) error { return host.ErrUnsupported }}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Limits) != 1 || rep.Limits[0].What != "the thing" || rep.Flows[0].Checks[0].Result != ResultUnknown {
		t.Errorf("limits %+v, checks %+v", rep.Limits, rep.Flows[0].Checks)
	}
}

func TestUnresolvable(t *testing.T) {
	target, _ := ParseTarget("nowhere:1")
	rep, err := Run(t.Context(), scripted{}, target, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Outcome != Unresolved || rep.Status != StatusUnknown {
		t.Errorf("outcome %s status %s", rep.Outcome, rep.Status)
	}
}

func TestConcerns(t *testing.T) {
	f := &Flow{Destination: netip.MustParseAddrPort("192.0.2.1:80")}
	base := rules.Chain{Hook: rules.Input, Type: "filter", Policy: "accept", Rules: []*rules.Rule{{}}}
	empty, strict, nat, here, chain := base, base, base, base, base
	empty.Rules = nil
	strict.Rules, strict.Policy = nil, "drop"
	nat.Type, nat.Hook = "nat", rules.Postrouting
	here.Type, here.Hook = "nat", rules.Output
	chain.Hook = ""
	for _, c := range []struct {
		what  string
		table rules.Table
		chain rules.Chain
		want  bool
	}{
		{"rules", rules.Table{Family: rules.Inet}, base, true},
		{"no rules", rules.Table{Family: rules.IP}, empty, false},
		{"a policy", rules.Table{Family: rules.IP}, strict, true},
		{"the other family", rules.Table{Family: rules.IP6}, base, false},
		{"ARP", rules.Table{Family: rules.ARP}, base, false},
		{"a device", rules.Table{Family: rules.Netdev}, base, true},
		{"a table that sleeps", rules.Table{Family: rules.IP, Flags: []string{"dormant"}}, base, false},
		{"a chain that is jumped to", rules.Table{Family: rules.IP}, chain, false},
		{"NAT of the source", rules.Table{Family: rules.IP}, nat, false},
		{"NAT of the destination", rules.Table{Family: rules.IP}, here, true},
	} {
		if got := concerns(&c.table, &c.chain, f); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}
