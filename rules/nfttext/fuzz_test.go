package nfttext

import (
	"os"
	"strings"
	"testing"
)

func FuzzRead(f *testing.F) {
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
		Parse("x", text, Options{Include: func(pattern string) ([]File, error) { return []File{{pattern, pattern}}, nil }})
	})
}
