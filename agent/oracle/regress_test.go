//go:build linux

package oracle

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var (
	record = flag.String("record", "", "write the first failure, shrunk, to testdata under this name")
	update = flag.Bool("update", false, "write what the kernel does into the files of testdata")
)

// fate is what the kernel did, in words.
func (o *outcome) fate() string {
	var words []string
	if o.refused {
		words = append(words, "refused")
	}
	for _, a := range o.arrivals {
		words = append(words, "came out at "+places[a.where])
	}
	for _, a := range o.answers {
		if a.reset {
			words = append(words, "was answered with a reset")
		} else {
			words = append(words, fmt.Sprintf("was answered with ICMP type %d code %d", a.kind, a.code))
		}
	}
	if len(words) == 0 {
		return "nothing came of it"
	}
	return strings.Join(words, ", ")
}

// archive is a pair as testdata has it.
func archive(why string, r *ruleset, p *pair) []byte {
	a := &txtar.Archive{Comment: []byte(why + "\n")}
	add := func(name, text string) {
		if text != "" {
			a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
		}
	}
	add("ipset", r.setText())
	add("nft", r.nftText())
	for _, tool := range tools {
		add(tool, r.restoreText(tool))
	}
	add("packet", p.packet.String()+"\n")
	add("fate", p.outcome.fate()+"\n")
	return txtar.Format(a)
}

// What once was wrong: the kernel does what the file says, and the evaluator
// agrees with it.
func TestRegressions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and its namespace
		done <- replay(t, files)
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func replay(t *testing.T, files []string) error {
	w, err := newWorld(0)
	if err != nil {
		return err
	}
	defer w.close()
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			return err
		}
		texts := map[string]string{}
		for _, f := range a.Files {
			texts[f.Name] = string(f.Data)
		}
		p, err := parsePacket(texts["packet"])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		p.id = 1
		if err := w.loadTexts(texts); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		pairs, err := w.run([]*packet{p})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(pairs) != 1 {
			return fmt.Errorf("%s: the rules let no connection come into being", name)
		}
		got := &pairs[0]
		if *update {
			if err := rewriteFate(name, a, got.outcome.fate()); err != nil {
				return err
			}
		} else if fate := got.outcome.fate(); fate != strings.TrimSpace(texts["fate"]) {
			t.Errorf("%s: the kernel now does otherwise: %s", name, fate)
		}
		if why := disagreement(&got.result, &got.outcome); why != "" || got.result.Verdict == "" {
			t.Errorf("%s: %s\n%s", name, why, explain(&got.result, &got.outcome))
		}
	}
	return nil
}

func rewriteFate(name string, a *txtar.Archive, fate string) error {
	for i := range a.Files {
		if a.Files[i].Name == "fate" {
			a.Files[i].Data = []byte(fate + "\n")
		}
	}
	return os.WriteFile(name, txtar.Format(a), 0o644)
}
