// Package preflight tells before anything starts which declared ports will
// clash: with each other, and with what this host has now. Whether a port can
// be had is asked of the same engine as portwhy bind.
package preflight

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose/plan"
)

// Declared is a port that a file of one of many kinds declares.
type Declared struct {
	plan.Claim
	// Kind is the syntax of the file: compose, kubernetes, systemd, nginx, …
	Kind string
	// Project is what the services of a compose file belong to together.
	Project string
	// Text is what stands at the place, one line.
	Text string
	// Named is the address as a name that has to be resolved; empty: Address says it.
	Named string
	Any   bool // one port of the range is enough
	// Target is the port inside the container, 0 if there is none.
	Target uint16
	// Replicas that each want the port here; 0 is 1.
	Replicas int
	// Doubt is why it isn't certain that the port is opened.
	Doubt string
	// Program is who reads the file and opens the port by itself, Unit what starts it.
	Program, Unit string
	// Dir is the file's directory, absolute.
	Dir string
	// V6Only: an IPv6 wildcard that leaves IPv4 to others.
	V6Only bool
	// Elsewhere: rules of the network take the port, not a socket, so that a
	// bind says nothing.
	Elsewhere bool
}

// Unknown is a service whose ports can't be told, or a file that wasn't read.
type Unknown struct {
	File         string
	Line, Column int
	Kind         string
	Service      string
	Title, Needs string
	// Note: it is worth knowing, and opens no port.
	Note bool
}

// owner is who must be another for a clash: a program may name one port in many
// places.
func (d Declared) owner() [3]string { return [3]string{d.Kind, d.Project, d.Service} }

// conflicts are pairs of declared ports of two owners that can't both be had.
// A service that clashes with its own replicas is a pair with itself.
func conflicts(all []Declared) []conflict {
	var found []conflict
	for i, d := range all {
		if d.Replicas > 1 && d.Ports.First != 0 && (!d.Any || d.Ports.Len() < d.Replicas) {
			found = append(found, conflict{i, i, d.Ports})
		}
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].Ports.First, all[b].Ports.First) })
	first := len(found)
	for n, i := range order {
		for _, j := range order[n+1:] {
			if all[j].Ports.First > all[i].Ports.Last || len(found) > maxFindings {
				break
			}
			if both, ok := clash(all[i], all[j]); ok {
				found = append(found, conflict{min(i, j), max(i, j), both})
			}
		}
	}
	found = append(found, exhausted(all, found[first:])...)
	slices.SortFunc(found[first:], func(a, b conflict) int { return cmp.Or(cmp.Compare(a.second, b.second), cmp.Compare(a.first, b.first)) })
	return found
}

// exhausted finds ranges of which one port would be enough, and others take
// them all together.
func exhausted(all []Declared, known []conflict) []conflict {
	if len(all) > maxCompared {
		return nil // each is still compared with each other, and with the host
	}
	var found []conflict
	for i, d := range all {
		if !d.Any || d.Ports.Len() > closeLook || slices.ContainsFunc(known, func(c conflict) bool { return c.first == i || c.second == i }) {
			continue
		}
		left, last := d.Ports.Len(), 0
		for n := int(d.Ports.First); n <= int(d.Ports.Last); n++ {
			j := slices.IndexFunc(all, func(o Declared) bool {
				if o.Any || !o.Ports.Has(uint16(n)) {
					return false
				}
				one := d
				one.Any, one.Ports = false, plan.One(uint16(n))
				_, clashes := clash(one, o)
				return clashes
			})
			if j >= 0 {
				left, last = left-1, j
			}
		}
		if left < d.Ports.Len() && left < max(d.Replicas, 1) && len(found) < maxFindings {
			both, _ := d.Ports.Meet(all[last].Ports)
			found = append(found, conflict{last, i, both})
		}
	}
	return found
}

// maxCompared bounds what is compared with all others port by port.
const maxCompared = 500

// maxFindings bounds what a file can make of a few lines.
const maxFindings = 2000

// conflict is two declared ports by their index, and the ports that both want.
type conflict struct {
	first, second int
	ports         plan.Range
}

func clash(a, b Declared) (plan.Range, bool) {
	both, ok := a.Ports.Meet(b.Ports)
	switch {
	case !ok, a.Network != b.Network, a.Environment != b.Environment, a.Host != b.Host:
		return both, false
	case a.owner() == b.owner() && !twoTargets(a, b):
		return both, false
	case a.Any && both != a.Ports, b.Any && both != b.Ports:
		return both, false // another port of the range is left
	}
	return both, meet(a, b)
}

// twoTargets: one service publishes one port for two ports of its container.
func twoTargets(a, b Declared) bool {
	return a.Target != 0 && b.Target != 0 && a.Target != b.Target && a.Ports.Len() == 1 && b.Ports.Len() == 1
}

// meet reports whether two declared ports want one address.
func meet(a, b Declared) bool {
	if a.Named != "" && b.Named != "" {
		return strings.EqualFold(a.Named, b.Named)
	}
	if a.Named != "" || b.Named != "" {
		return a.Named == "" && wildcard(a.Address) || b.Named == "" && wildcard(b.Address)
	}
	x, y := a.Address, b.Address
	switch {
	case !x.IsValid() || !y.IsValid():
		return true
	case x.Is4() != y.Is4():
		return separate(x, a) && separate(y, b)
	}
	return x == y || x.IsUnspecified() || y.IsUnspecified()
}

// separate reports whether a socket of one family could meet one of the other:
// an IPv6 wildcard does, unless it leaves IPv4 alone; an address doesn't.
func separate(addr netip.Addr, d Declared) bool {
	return addr.Is4() || addr == netip.IPv6Unspecified() && !d.V6Only
}

func wildcard(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() }
