package document

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, text string) Node {
	t.Helper()
	n, err := Read("f.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestValues(t *testing.T) {
	f, err := read(t, "name: 8080\nlist: [a, b]\none: x\nnone:\nwait: 1.5s\nyes: true\nn: 7\n").Fields("name", "list", "one", "none", "wait", "yes", "n", "missing")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := f["name"].Text(); s != "8080" || err != nil {
		t.Errorf("Text: %q, %v", s, err)
	}
	if l, err := f["list"].List(); len(l) != 2 || err != nil {
		t.Errorf("List: %v, %v", l, err)
	}
	if l, err := f["one"].List(); len(l) != 1 || err != nil {
		t.Errorf("List of one: %v, %v", l, err)
	}
	if l, err := f["none"].List(); l != nil || err != nil || !f["none"].IsZero() || !f["missing"].IsZero() {
		t.Errorf("List of none: %v, %v", l, err)
	}
	if d, err := f["wait"].Duration(); d != 1500*time.Millisecond || err != nil {
		t.Errorf("Duration: %v, %v", d, err)
	}
	if b, err := f["yes"].Bool(); !b || err != nil {
		t.Errorf("Bool: %v, %v", b, err)
	}
	if n, err := f["n"].Int(1, 7); n != 7 || err != nil {
		t.Errorf("Int: %v, %v", n, err)
	}
	if line, column := f["wait"].Position(); line != 5 || column != 7 {
		t.Errorf("Position: %d:%d", line, column)
	}
}

// What is wrong is named with its place.
func TestErrors(t *testing.T) {
	use := func(n Node) error {
		f, err := n.Fields("ports", "wait", "mode", "list")
		if err != nil {
			return err
		}
		for name, v := range f {
			switch name {
			case "ports":
				_, err = v.Int(1, 65535)
			case "wait":
				_, err = v.Duration()
			case "mode":
				_, err = v.OneOf("tcp", "udp")
			case "list":
				_, err = v.List()
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, c := range []struct{ text, want string }{
		{"", "f.yaml:1:1: is empty"},
		{"# only a comment\n", "f.yaml:1:1: is empty"},
		{"a: [1\nb: 2", "f.yaml:2:2: is no YAML: did not find expected ',' or ']'"},
		{"\tports: 1", "f.yaml:1:1: is no YAML: found character that cannot start any token"},
		{"ports: 1\n\nport: 2\n", `f.yaml:3:1: unknown key "port"; "ports" was meant?`},
		{"ports: 1\nwhatever: 2\n", `f.yaml:2:1: unknown key "whatever"; known are ports, wait, mode, list`},
		{"ports: 1\nports: 2\n", `f.yaml:2:1: "ports" is given twice; first in line 1`},
		{"ports: &x 1\n", "f.yaml:1:8: anchors and aliases are not taken: write it out"},
		{"ports: 1\nwait: *x\n", "f.yaml:2:7: is no YAML: unknown anchor 'x' referenced"},
		{"ports: !!int 1\n", `f.yaml:1:8: the tag "!!int" is not taken`},
		{"ports: 1\n---\nports: 2\n", "f.yaml:2:1: a second document begins here; one is expected"},
		{"ports: 70000\n", `f.yaml:1:8: expected a number from 1 to 65535, found "70000"`},
		{"ports: [1]\n", "f.yaml:1:8: expected text, found a list"},
		{"ports: {a: 1}\n", "f.yaml:1:8: expected text, found keys with values"},
		{"ports:\n", "f.yaml:1:7: expected text, found nothing"},
		{"wait: 3\n", `f.yaml:1:7: expected a time with its unit, as in 500ms or 3s, found "3"`},
		{"wait: -3s\n", `f.yaml:1:7: expected a time with its unit, as in 500ms or 3s, found "-3s"`},
		{"mode: tpc\n", `f.yaml:1:7: "tpc" is none of tcp, udp`},
		{"list: {a: 1}\n", "f.yaml:1:7: expected a list, found keys with values"},
		{"- a\n", "f.yaml:1:1: expected keys with values, found a list"},
		{"? [a]\n: 1\n", "f.yaml:1:3: a key is a word"},
		{"list: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "exceeded max depth of 32"},
		{strings.Repeat("#", MaxSize+1), "f.yaml: is larger than 1048576 bytes"},
	} {
		n, err := Read("f.yaml", strings.NewReader(c.text))
		if err == nil {
			err = use(n)
		}
		var e *Error
		if err == nil || !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v\nwant %s", c.text, err, c.want)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestReadFails(t *testing.T) {
	if _, err := Read("f", broken{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Read: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"a: 1", "a: [b, {c: d}]", "a: &x [*x]", "? a\n: b", "- - - 1", "a: |\n  b\n", "%YAML 1.2\n---\na: !!str 1", "a: 1\n---\nb: 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Read("f", strings.NewReader(text))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		walk(n)
	})
}

func walk(n Node) {
	entries, _ := n.Entries()
	for _, e := range entries {
		walk(e.Value)
	}
	if n.IsList() {
		list, _ := n.List()
		for _, m := range list {
			walk(m)
		}
	}
	n.Text()
	n.Duration()
}
