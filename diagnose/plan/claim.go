package plan

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
)

// Claim is a port, or a range of them, that a file says a service will listen
// on.
type Claim struct {
	// File, Line and Column are where it says so; 0: not known.
	File         string
	Line, Column int
	// Environment and Host part claims that never meet; empty: the only one.
	Environment string
	Host        string
	Service     string
	Name        string // of the port among the service's own, if it has one
	Network     string // tcp, udp
	// Address is the one that is bound; the zero value is the wildcard of both
	// families, as most programs bind it.
	Address netip.Addr
	Ports   Range
}

// String names what is claimed: 127.0.0.1:8080/tcp, *:8000-8010/udp.
func (c Claim) String() string {
	host := "*"
	switch {
	case c.Address.Is6():
		host = "[" + c.Address.String() + "]"
	case c.Address.IsValid():
		host = c.Address.String()
	}
	return host + ":" + c.Ports.String() + "/" + c.Network
}

// Who names the claimant.
func (c Claim) Who() string {
	if c.Name == "" {
		return c.Service
	}
	return c.Service + "." + c.Name
}

// Range of ports, both ends in it.
type Range struct{ First, Last uint16 }

// One is the range of a single port.
func One(port uint16) Range { return Range{port, port} }

// ParseRange reads 8080 or 8000-8010.
func ParseRange(text string) (Range, error) {
	first, last, both := strings.Cut(text, "-")
	if !both {
		last = first
	}
	a, aErr := strconv.ParseUint(first, 10, 16)
	b, bErr := strconv.ParseUint(last, 10, 16)
	switch {
	case aErr != nil || bErr != nil || a == 0 || b == 0:
		return Range{}, fmt.Errorf("%q is neither a port from 1 to 65535 nor a range of them, as in 8000-8010", text)
	case b < a:
		return Range{}, fmt.Errorf("the range %s ends before it begins", text)
	}
	return Range{uint16(a), uint16(b)}, nil
}

func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Len is how many ports it has.
func (r Range) Len() int { return int(r.Last) - int(r.First) + 1 }

// Has says whether a port is in it.
func (r Range) Has(port uint16) bool { return r.First <= port && port <= r.Last }

// Meet returns the ports that are in both.
func (r Range) Meet(o Range) (both Range, ok bool) {
	both = Range{max(r.First, o.First), min(r.Last, o.Last)}
	return both, both.First <= both.Last
}

// overlap says whether two addresses can't be bound on one port by two
// programs. A socket on :: takes IPv4 as well, unless told otherwise
// (ipv6(7), IPV6_V6ONLY).
func overlap(a, b netip.Addr) bool {
	if !a.IsValid() || !b.IsValid() || a == b {
		return true
	}
	a, b = a.Unmap(), b.Unmap()
	if a == netip.IPv6Unspecified() || b == netip.IPv6Unspecified() {
		return true
	}
	if a.Is4() != b.Is4() {
		return false
	}
	return a == b || a.IsUnspecified() || b.IsUnspecified()
}

// Conflict is a pair of claims that can't both be had, and the ports that both
// want. The second one is the later in its file.
type Conflict struct {
	First, Second Claim
	Ports         Range
}

// Conflicts returns each pair of claims on the same host of the same
// environment that would meet, in the order of the second's position.
func Conflicts(claims []Claim) []Conflict {
	var list []Conflict
	for i, b := range claims {
		for _, a := range claims[:i] {
			if a.Environment != b.Environment || a.Host != b.Host || a.Network != b.Network || !overlap(a.Address, b.Address) {
				continue
			}
			if both, ok := a.Ports.Meet(b.Ports); ok {
				list = append(list, Conflict{a, b, both})
			}
		}
	}
	return list
}

// Finding is what is wrong, or worth knowing, about a claim. Its JSON form is
// that of portwhy.preflight/v1 and portwhy.plan-check/v1.
type Finding struct {
	Code     string            `json:"code"`
	Severity Severity          `json:"severity"`
	Title    string            `json:"title"`
	File     string            `json:"file"`
	Line     int               `json:"line"`   // 0: not known
	Column   int               `json:"column"` // 0: not known
	Network  string            `json:"network,omitempty"`
	Port     uint16            `json:"port"`
	Service  string            `json:"service,omitempty"`
	Culprit  *diagnose.Culprit `json:"culprit"`
	// Environment in which it is so; empty: the only one.
	Environment string              `json:"environment,omitempty"`
	Evidence    []diagnose.Evidence `json:"evidence,omitempty"`
	Fixes       []diagnose.Fix      `json:"fixes"`
	// Free are ports to have instead.
	Free []uint16 `json:"free_ports,omitempty"`
}

// Severity of a finding: an error will fail, a warning may, a note won't.
type Severity string

// The severities. Unknown: it could not be determined.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
	Unknown Severity = "unknown"
)

// Status is that of a target with a finding of the severity.
func (s Severity) Status() diagnose.Status {
	switch s {
	case Error:
		return diagnose.Broken
	case Warning:
		return diagnose.Warning
	case Unknown:
		return diagnose.StatusUnknown
	}
	return diagnose.OK
}

// StatusOf is the highest status of findings.
func StatusOf(findings []Finding) diagnose.Status {
	status := diagnose.OK
	for _, f := range findings {
		status = diagnose.Worse(status, f.Severity.Status())
	}
	return status
}

// Count counts findings by their severity.
func Count(findings []Finding) map[Severity]int {
	n := map[Severity]int{}
	for _, f := range findings {
		n[f.Severity]++
	}
	return n
}
