package checks

import (
	"testing"

	"github.com/portwhy/portwhy/diagnose/cause"
)

// Every check says what it looks at, has its own name, and reports only codes
// that the catalogue explains.
func TestChecksAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range All() {
		if c.ID == "" || c.Doc == "" || c.Run == nil || c.For == "" {
			t.Errorf("check %q lacks an id, a doc, a question or its function", c.ID)
		}
		if seen[string(c.For)+c.ID] {
			t.Errorf("two checks are called %q", c.ID)
		}
		seen[string(c.For)+c.ID] = true
		for _, code := range c.Codes {
			if _, ok := cause.Find(code); !ok {
				t.Errorf("check %s reports %q, which the catalogue does not have", c.ID, code)
			}
		}
	}
}
