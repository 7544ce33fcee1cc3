// Package document reads YAML that people write by hand, and JSON with it.
//
// It is strict: an unknown key, a key given twice, an anchor, a second document
// or a value of another kind is an error that names file, line and column, what
// was expected, and the word that was probably meant. What it reads may be
// hostile, so size and depth are bounded, and nothing is expanded.
package document

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/portwhy/portwhy/diagnose/spelling"
)

// The bounds of a document.
const (
	MaxSize  = 1 << 20 // bytes
	maxDepth = 32
)

// Error is what is wrong, and where. Line and Column count from 1; 0: unknown.
type Error struct {
	File         string
	Line, Column int
	Err          error
}

func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	case e.Column == 0:
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Node is one value of a document, with its place.
type Node struct {
	file string
	node *yaml.Node
}

// Read parses one document. Its errors are of type [*Error].
func Read(file string, in io.Reader) (Node, error) {
	text, err := io.ReadAll(io.LimitReader(in, MaxSize+1))
	switch {
	case err != nil:
		return Node{}, &Error{File: file, Err: err}
	case len(text) > MaxSize:
		return Node{}, &Error{File: file, Err: fmt.Errorf("is larger than %d bytes", MaxSize)}
	}
	load, err := yaml.NewLoader(strings.NewReader(string(text)), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		return Node{}, &Error{File: file, Err: err}
	}
	var first, second yaml.Node
	switch err := load.Load(&first); {
	case errors.Is(err, io.EOF):
		return Node{}, &Error{File: file, Line: 1, Column: 1, Err: errors.New("is empty")}
	case err != nil:
		return Node{}, place(file, err)
	}
	switch err := load.Load(&second); {
	case err == nil:
		return Node{}, &Error{File: file, Line: second.Line, Column: second.Column, Err: errors.New("a second document begins here; one is expected")}
	case !errors.Is(err, io.EOF):
		return Node{}, place(file, err)
	}
	root := Node{file, &first}
	if first.Kind == yaml.DocumentNode {
		if len(first.Content) != 1 {
			return Node{}, root.Errorf("is empty")
		}
		root.node = first.Content[0]
	}
	return root, root.plain()
}

// place takes the position out of an error of the parser.
func place(file string, err error) error {
	var l *yaml.LoadError
	if errors.As(err, &l) && l.Mark.Line > 0 {
		return &Error{File: file, Line: l.Mark.Line, Column: l.Mark.Column, Err: errors.New("is no YAML: " + l.Message)}
	}
	return &Error{File: file, Err: fmt.Errorf("is no YAML: %w", err)}
}

// plain refuses what a document may hide something behind: anchors, tags and
// keys that are given twice.
func (n Node) plain() error {
	switch {
	case n.node.Kind == yaml.AliasNode || n.node.Anchor != "":
		return n.Errorf("anchors and aliases are not taken: write it out")
	case n.node.Style&yaml.TaggedStyle != 0:
		return n.Errorf("the tag %q is not taken", cut(n.node.Tag))
	}
	seen := map[string]int{}
	for i, c := range n.node.Content {
		child := Node{n.file, c}
		if n.node.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode {
				return child.Errorf("a key is a word")
			}
			if line := seen[c.Value]; line != 0 {
				return child.Errorf("%q is given twice; first in line %d", cut(c.Value), line)
			}
			seen[c.Value] = c.Line
		}
		if err := child.plain(); err != nil {
			return err
		}
	}
	return nil
}

// Position is where the value begins: line and column, from 1.
func (n Node) Position() (line, column int) { return n.node.Line, n.node.Column }

// Errorf makes an error at the value.
func (n Node) Errorf(format string, args ...any) error {
	e := &Error{File: n.file, Err: fmt.Errorf(format, args...)}
	if n.node != nil {
		e.Line, e.Column = n.Position()
	}
	return e
}

// IsZero says whether nothing is there: no such key, or one without a value.
func (n Node) IsZero() bool {
	return n.node == nil || n.node.Kind == yaml.ScalarNode && n.node.Tag == "!!null"
}

// IsMap says whether the value has keys.
func (n Node) IsMap() bool { return n.node != nil && n.node.Kind == yaml.MappingNode }

// IsList says whether the value is a list.
func (n Node) IsList() bool { return n.node != nil && n.node.Kind == yaml.SequenceNode }

// Entry is a key with its value.
type Entry struct {
	Name  string
	Key   Node
	Value Node
}

// Entries returns the keys of a mapping that names its own, in their order.
func (n Node) Entries() ([]Entry, error) {
	if n.IsZero() {
		return nil, nil
	}
	if !n.IsMap() {
		return nil, n.Errorf("expected keys with values, found %s", n.what())
	}
	var list []Entry
	for i := 0; i+1 < len(n.node.Content); i += 2 {
		k := n.node.Content[i]
		list = append(list, Entry{k.Value, Node{n.file, k}, Node{n.file, n.node.Content[i+1]}})
	}
	return list, nil
}

// Fields returns the values of a mapping whose keys are known, by key.
func (n Node) Fields(known ...string) (map[string]Node, error) {
	entries, err := n.Entries()
	if err != nil {
		return nil, err
	}
	fields := make(map[string]Node, len(entries))
	for _, e := range entries {
		if !slices.Contains(known, e.Name) {
			return nil, e.Key.Errorf("unknown key %q; %s", cut(e.Name), meant(e.Name, known))
		}
		fields[e.Name] = e.Value
	}
	return fields, nil
}

// List returns the members of a list. One value alone stands for a list of one.
func (n Node) List() ([]Node, error) {
	switch {
	case n.IsZero():
		return nil, nil
	case n.IsMap():
		return nil, n.Errorf("expected a list, found %s", n.what())
	case !n.IsList():
		return []Node{n}, nil
	}
	list := make([]Node, len(n.node.Content))
	for i, c := range n.node.Content {
		list[i] = Node{n.file, c}
	}
	return list, nil
}

// Text returns a word or a line of text as it stands: 8080 and true, too.
func (n Node) Text() (string, error) {
	if n.IsZero() || n.node.Kind != yaml.ScalarNode {
		return "", n.Errorf("expected text, found %s", n.what())
	}
	return n.node.Value, nil
}

// OneOf returns a word of those that are known.
func (n Node) OneOf(known ...string) (string, error) {
	word, err := n.Text()
	if err != nil {
		return "", err
	}
	if !slices.Contains(known, word) {
		return "", n.Errorf("%q is none of %s", cut(word), strings.Join(known, ", "))
	}
	return word, nil
}

// Int returns a whole number within bounds.
func (n Node) Int(low, high int) (int, error) {
	text, err := n.Text()
	if err != nil {
		return 0, err
	}
	i, err := strconv.Atoi(text)
	if low == high && (err != nil || i != low) {
		return 0, n.Errorf("expected %d, found %q", low, cut(text))
	}
	if err != nil || i < low || i > high {
		return 0, n.Errorf("expected a number from %d to %d, found %q", low, high, cut(text))
	}
	return i, nil
}

// Bool returns true or false.
func (n Node) Bool() (bool, error) {
	word, err := n.OneOf("true", "false")
	return word == "true", err
}

// Duration returns a time with its unit, as in 500ms or 3s, that isn't negative.
func (n Node) Duration() (time.Duration, error) {
	text, err := n.Text()
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, n.Errorf("expected a time with its unit, as in 500ms or 3s, found %q", cut(text))
	}
	return d, nil
}

func (n Node) what() string {
	switch {
	case n.IsZero():
		return "nothing"
	case n.IsMap():
		return "keys with values"
	case n.IsList():
		return "a list"
	}
	return strconv.Quote(cut(n.node.Value))
}

func meant(word string, known []string) string {
	if near, ok := spelling.Near(word, known); ok {
		return fmt.Sprintf("%q was meant?", near)
	}
	return "known are " + strings.Join(known, ", ")
}

// cut shortens what an error repeats of a document.
func cut(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
