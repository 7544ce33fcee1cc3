package nfttext

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("../text/testdata/rules.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		head, rule, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || head[0] == '#' {
			continue
		}
		family, _, _ := strings.Cut(head, " ")
		f.Add("table " + family + " t { chain c {\n" + rule + "\n}\n}\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := Parse("x", text, Options{Include: func(pattern string) ([]File, error) { return []File{{pattern, pattern}}, nil }})
		var wrong *rules.SyntaxError
		if err != nil && (set != nil || !errors.As(err, &wrong) || wrong.Line < 1 || wrong.Column < 1 || wrong.Message == "") || err == nil && set == nil {
			t.Errorf("%q: %v, %v", text, set, err)
		}
	})
}
