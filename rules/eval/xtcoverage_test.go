package eval

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// covered reads the table of COVERAGE.md that has a heading: a class for each
// extension.
func covered(t *testing.T, heading string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../COVERAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, ok := strings.Cut(string(text), "| "+heading+" | eval | |\n")
	if !ok {
		t.Fatalf("no table of %ss", heading)
	}
	table, _, _ := strings.Cut(text2, "\n\n")
	classes := map[string]string{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && !strings.HasPrefix(line, "| ---") {
			classes[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	return classes
}

// COVERAGE.md says of each extension what the evaluator does with it.
func TestCoverageIsTrue(t *testing.T) {
	matches, targets := covered(t, "match"), covered(t, "target")
	code := map[string]string{}
	for name := range bracketed {
		code[name] = "bracketed"
	}
	for _, table := range matchTables {
		for name := range table {
			if code[name] == "bracketed" {
				t.Errorf("match %s is bracketed and evaluated", name)
			}
			code[name] = "evaluated"
		}
	}
	for _, name := range []string{"udplite", "l2tp"} { // iptables 1.8.9 has none
		delete(code, name)
	}
	compareClasses(t, "match", matches, code)
	code = map[string]string{"CLUSTERIP": "not modelled"}
	for name := range harmlessTargets {
		code[name] = "evaluated"
	}
	for _, table := range targetTables {
		for name := range table {
			if harmlessTargets[name] {
				t.Errorf("target %s has an effect and none", name)
			}
			code[name] = "evaluated"
		}
	}
	for _, name := range []string{"ERROR", "log", "nflog"} { // no library, and ebtables'
		delete(code, name)
	}
	compareClasses(t, "target", targets, code)
}

func compareClasses(t *testing.T, kind string, document, code map[string]string) {
	t.Helper()
	for name, class := range code {
		if document[name] != class {
			t.Errorf("%s %s is %q in COVERAGE.md, %q in the code", kind, name, document[name], class)
		}
	}
	for name, class := range document {
		if code[name] != class {
			t.Errorf("%s %s is %q in COVERAGE.md, %q in the code", kind, name, class, code[name])
		}
	}
}

// What package xt reads and prints, and what this machine's iptables has, is in
// the table.
func TestCoverageIsWhole(t *testing.T) {
	text, err := os.ReadFile("../COVERAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, w := range regexp.MustCompile(`[A-Za-z0-9_]+`).FindAllString(string(text[strings.Index(string(text), "## Extensions of iptables"):]), -1) {
		words[w] = true
	}
	files, err := filepath.Glob("../xt/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	names := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:\{name: |natTarget\()"(\w+)"`).FindAllStringSubmatch(string(source), -1) {
			if names++; !words[m[1]] && m[1] != "udplite" {
				t.Errorf("%s, of %s, is not in COVERAGE.md", m[1], file)
			}
		}
	}
	if names < 40 {
		t.Errorf("only %d extensions found in package xt", names)
	}
	libraries, err := filepath.Glob("/usr/lib/*/xtables/lib*_*.so")
	if err != nil || len(libraries) == 0 {
		t.Log("not compared with iptables, which is not installed")
	}
	for _, file := range libraries {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".so"), "_")
		if !words[name] {
			t.Errorf("%s is not in COVERAGE.md", filepath.Base(file))
		}
	}
}
