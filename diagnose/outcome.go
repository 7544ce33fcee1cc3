package diagnose

import (
	"fmt"
	"slices"
)

// Outcome is how an attempt ends, predicted or observed.
type Outcome string

// The outcomes. The zero value is the honest one: unknown.
const (
	Unknown            Outcome = ""
	Connected          Outcome = "connected"
	Bound              Outcome = "bound" // a bind works; Connected's counterpart
	Refused            Outcome = "refused"
	Reset              Outcome = "reset"
	Timeout            Outcome = "timeout"
	HostUnreachable    Outcome = "host-unreachable"
	NetUnreachable     Outcome = "net-unreachable"
	Denied             Outcome = "denied"
	InUse              Outcome = "in-use"
	AddressUnavailable Outcome = "address-unavailable"
	Unresolved         Outcome = "unresolved"
	ProtocolError      Outcome = "protocol-error"
)

// String returns the outcome's name.
func (o Outcome) String() string {
	if o == Unknown {
		return "unknown"
	}
	return string(o)
}

// MarshalText writes the name, "unknown" for the zero value.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a name back, "unknown" as the zero value.
func (o *Outcome) UnmarshalText(text []byte) error {
	if *o = Outcome(text); *o == "unknown" {
		*o = Unknown
	}
	return nil
}

// Good reports whether the outcome is what was wanted.
func (o Outcome) Good() bool { return o == Connected || o == Bound }

// outcomeOf maps POSIX error names of connect(2), send(2) and bind(2).
// EINVAL is what connect gives for a blackhole route (net/ipv4/fib_semantics.c,
// fib_props), ENOPROTOOPT what an ICMP protocol-unreachable becomes
// (net/ipv4/icmp.c, icmp_err_convert), EAGAIN what a full unix listener gives,
// ENOENT what a missing unix socket gives.
func outcomeOf(errno string) Outcome {
	switch errno {
	case "":
		return Connected
	case "ECONNREFUSED", "ENOENT", "ENOTSOCK":
		return Refused
	case "ECONNRESET", "EPIPE", "EOF", "ECONNABORTED":
		return Reset
	case "ETIMEDOUT", "EAGAIN":
		return Timeout
	case "EHOSTUNREACH", "EHOSTDOWN":
		return HostUnreachable
	case "ENETUNREACH", "ENETDOWN", "EINVAL":
		return NetUnreachable
	case "EACCES", "EPERM":
		return Denied
	case "EADDRINUSE":
		return InUse
	case "EADDRNOTAVAIL", "EAFNOSUPPORT", "ENODEV":
		return AddressUnavailable
	case "ENOPROTOOPT", "EPROTO", "EPROTOTYPE", "EMSGSIZE":
		return ProtocolError
	}
	return Unknown
}

// Status is the verdict on a target; its number is the exit status.
type Status int

// The statuses in the order in which the worse one wins: see [Worse].
const (
	OK            Status = 0
	Warning       Status = 1
	Broken        Status = 2
	StatusUnknown Status = 3
)

var statusNames = [...]string{"ok", "warning", "broken", "unknown"}

// String returns ok, warning, broken or unknown.
func (s Status) String() string { return statusNames[s] }

// MarshalText writes the name.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name back.
func (s *Status) UnmarshalText(text []byte) error {
	n := slices.Index(statusNames[:], string(text))
	if n < 0 {
		return fmt.Errorf("%.40q is no status", text)
	}
	*s = Status(n)
	return nil
}

// Worse returns the higher of two statuses: for several targets the highest wins.
func Worse(a, b Status) Status { return max(a, b) }

// Confidence says how far facts and observation carry a cause.
type Confidence int

// The confidences, in rising order.
const (
	Possible Confidence = iota
	Likely
	Proven
)

var confidenceNames = [...]string{"possible", "likely", "proven"}

// String returns possible, likely or proven.
func (c Confidence) String() string { return confidenceNames[c] }

// MarshalText writes the name.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a name back.
func (c *Confidence) UnmarshalText(text []byte) error {
	n := slices.Index(confidenceNames[:], string(text))
	if n < 0 {
		return fmt.Errorf("%.40q is no confidence", text)
	}
	*c = Confidence(n)
	return nil
}
