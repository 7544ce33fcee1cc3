package plan

// Next returns ports that the plan's policy allows, that no service of it has
// in any environment and that are not taken, in the policy's order; fewer than
// count if there are no more.
func (p *Plan) Next(count int, taken func(uint16) bool) []uint16 {
	var used [1 << 16]bool
	mark := func(r Range) {
		for n := int(r.First); n <= int(r.Last); n++ {
			used[n] = true
		}
	}
	for _, r := range p.Policy.Reserved {
		mark(r)
	}
	for _, s := range p.Services {
		for _, port := range s.Ports {
			for _, r := range port.Numbers {
				mark(r)
			}
		}
	}
	ranges := p.Policy.Ranges
	if len(ranges) == 0 {
		ranges = DefaultRanges()
	}
	var free []uint16
	for _, r := range ranges {
		for n := int(r.First); n <= int(r.Last) && len(free) < count; n++ {
			if !used[n] && !taken(uint16(n)) {
				used[n] = true
				free = append(free, uint16(n))
			}
		}
	}
	return free
}

// Runs is what the service of a name is known to be; empty if it isn't told.
func (p *Plan) Runs(service string) string {
	if s := p.service(service); s != nil {
		return s.Runs
	}
	return ""
}
