package diagnose

import (
	"context"
	"net/netip"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

// What is predicted of a packet from elsewhere, and by which device it comes.
func TestJudgeFrom(t *testing.T) {
	local := func(f *Flow) { f.Local, f.Inbound, f.Listener = true, "eth0", &host.Socket{} }
	through := func(f *Flow) { f.Through, f.Inbound, f.Firewall = true, "eth0", &Filtered{Served: true} }
	for name, c := range map[string]struct {
		set     func(*Flow)
		outcome Outcome
		device  string
	}{
		"to a listener":                          {local, Connected, "eth0"},
		"whose answer may not come back":         {func(f *Flow) { local(f); f.Unsure = "who knows" }, Unknown, "eth0"},
		"through this host":                      {through, Connected, "eth1"},
		"by rules that can't be decided":         {func(f *Flow) { through(f); f.Firewall.Unknown = "who knows" }, Unknown, "eth1"},
		"to nobody, by a way that can't be told": {func(f *Flow) { local(f); f.Listener, f.Unsure = nil, "who knows" }, Unknown, "eth0"},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := ParseTarget("10.0.0.1:80")
			if err != nil {
				t.Fatal(err)
			}
			check := &Check{ID: "a", Doc: "a", For: AskConnect, Run: func(p *Pass) error {
				p.Flow.Route.Device, p.Flow.Firewall = "eth1", &Filtered{}
				c.set(p.Flow)
				return nil
			}}
			rep, err := Run(context.Background(), scripted{}, target, []*Check{check}, Options{From: netip.MustParseAddr("10.0.0.9")})
			if err != nil {
				t.Fatal(err)
			}
			if f := rep.Flows[0]; f.Predicted.Outcome != c.outcome || f.Interface != c.device {
				t.Errorf("%s by %s, want %s by %s", f.Predicted.Outcome, f.Interface, c.outcome, c.device)
			}
		})
	}
}
