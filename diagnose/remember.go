package diagnose

import (
	"context"
	"sync"

	"github.com/portwhy/portwhy/platform/host"
)

// remembering asks a host for its firewall once for a whole diagnosis: rulesets are
// large, and all checks have to speak of the same.
type remembering struct {
	host.Host
	firewall func() (host.Firewall, error)
	files    func() (host.FirewallFiles, error)
}

func remember(ctx context.Context, h host.Host) *remembering {
	return &remembering{h,
		sync.OnceValues(func() (host.Firewall, error) { return h.Firewall(ctx) }),
		sync.OnceValues(func() (host.FirewallFiles, error) { return h.FirewallFiles(ctx) })}
}

// Firewall is what the host has told.
func (r *remembering) Firewall(context.Context) (host.Firewall, error) { return r.firewall() }

// FirewallFiles are what the host has told.
func (r *remembering) FirewallFiles(context.Context) (host.FirewallFiles, error) { return r.files() }
