package config

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/portwhy/portwhy/platform/host"
)

// Declared is a port that a file declares for a service of its own.
type Declared struct {
	host.Claim
	// Column of what names the port, from 1; 0: unknown.
	Column  int
	Service string
	// Last ends a range; 0 for one port.
	Last uint16
	// Target is the container's port, 0 if there is none.
	Target uint16
	// Replicas that may come to stand on one host.
	Replicas int
	// Doubt is why it isn't certain that the port is opened. Without a port:
	// why it isn't known which one is.
	Doubt string
}

// SyntaxError is a file that can't be read, and where.
type SyntaxError struct {
	Line, Column int
	Why          string
}

func (e *SyntaxError) Error() string {
	switch {
	case e.Line == 0:
		return e.Why
	case e.Column == 0:
		return fmt.Sprintf("line %d: %s", e.Line, e.Why)
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Why)
}

// Column finds where in a line a port is named, counted in characters from 1:
// the number as a word of its own, the nth one from 0 or the last; without one,
// the first character that isn't a space.
func Column(line string, port uint16, nth int) int {
	digits, found := itoa(port), -1
	for from := 0; nth >= 0; {
		i := strings.Index(line[from:], digits)
		if i < 0 {
			break
		}
		at := from + i
		end := at + len(digits)
		if (at == 0 || !digit(line[at-1])) && (end == len(line) || !digit(line[end])) {
			found = at
			nth--
		}
		from = end
	}
	if found < 0 {
		found = len(line) - len(strings.TrimLeft(line, " \t"))
		if found == len(line) {
			found = 0
		}
	}
	return utf8.RuneCountInString(line[:found]) + 1
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
