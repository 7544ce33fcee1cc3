package spelling

import (
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "bc", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestNear(t *testing.T) {
	words := []string{"port", "ports", "protocol", "bind", "exposure"}
	for _, c := range []struct{ word, want string }{
		{"prot", "port"}, {"protcol", "protocol"}, {"portss", "ports"}, {"bound", "bind"}, {"service", ""}, {"expsoure", "exposure"}, {"x", ""}, {"", ""},
		{strings.Repeat("port", 100), ""},
	} {
		if got, ok := Near(c.word, words); got != c.want || ok != (c.want != "") {
			t.Errorf("Near(%.40q) = %q, %v, want %q", c.word, got, ok, c.want)
		}
	}
}
