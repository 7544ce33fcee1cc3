package diagnose

import (
	"fmt"

	"github.com/portwhy/portwhy/platform/host"
)

// Words for the codes of destination unreachable: RFC 792, RFC 1812 section
// 5.2.7.1, RFC 4443 section 3.1.
var (
	unreachable4 = [...]string{"net unreachable", "host unreachable", "protocol unreachable", "port unreachable", "fragmentation needed",
		"source route failed", "net unknown", "host unknown", "source host isolated", "net prohibited", "host prohibited",
		"net unreachable for this service", "host unreachable for this service", "administratively prohibited", "precedence violation", "precedence cutoff"}
	unreachable6 = [...]string{"no route", "administratively prohibited", "beyond scope of source address", "address unreachable",
		"port unreachable", "source address failed policy", "reject route"}
)

func icmpText(m host.ICMP) string {
	words := ""
	switch {
	case m.Version == 4 && m.Type == 3 && m.Code >= 0 && m.Code < len(unreachable4):
		words = unreachable4[m.Code]
	case m.Version == 6 && m.Type == 1 && m.Code >= 0 && m.Code < len(unreachable6):
		words = unreachable6[m.Code]
	case m.Version == 4 && m.Type == 11, m.Version == 6 && m.Type == 3:
		words = "time exceeded"
	case m.Version == 6 && m.Type == 2:
		words = "packet too big"
	case m.Version == 4 && m.Type == 12, m.Version == 6 && m.Type == 4:
		words = "parameter problem"
	}
	if words == "" {
		return fmt.Sprintf("ICMPv%d %d/%d", m.Version, m.Type, m.Code)
	}
	return fmt.Sprintf("%s (ICMPv%d %d/%d)", words, m.Version, m.Type, m.Code)
}
