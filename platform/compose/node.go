package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// place is where a value stands; file is the path from the root.
type place struct {
	file         string
	line, column int
}

// node is a value with its place. Aliases and merge keys are resolved in it:
// what stands behind an anchor keeps the place where it is written.
type node struct {
	place
	kind  kind
	text  string // of a scalar, with variables put in
	raw   string // as it is written
	unset []string
	// null: nothing is written there.
	null bool
	// number: it is one, and not text.
	number bool
	mark   mark
	keys   []string
	of     map[string]*node
	list   []*node
	// key is where the key of this value stands.
	key place
}

type kind int

const (
	scalar kind = iota
	mapping
	sequence
)

// mark is a tag that says how a value meets the one that it overrides.
type mark int

const (
	merges mark = iota
	resets
	replaces
)

// get returns the value of a key, nil if there is none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	if v := n.of[key]; v != nil && v.mark != resets {
		return v
	}
	return nil
}

// has reports whether a key is there, with a value or without.
func (n *node) has(key string) bool { return n != nil && n.of[key] != nil }

func (n *node) isNumber() bool { return n != nil && n.number }

func (n *node) set(key string, v *node) {
	if n.of == nil {
		n.of = map[string]*node{}
	}
	if n.of[key] == nil {
		n.keys = append(n.keys, key)
	}
	n.of[key] = v
}

func (n *node) drop(key string) {
	delete(n.of, key)
	n.keys = slices.DeleteFunc(n.keys, func(k string) bool { return k == key })
}

// wanted are the keys that have to do with ports, by the path to them; * is any
// name, and what lies below "all" is taken over whole.
var wanted = map[string][]string{
	"":            {"name", "include", "services"},
	"services":    {"*"},
	"services.*":  {"ports", "expose", "network_mode", "extends", "profiles", "deploy", "scale", "container_name", "command", "environment"},
	"include":     {"all"},
	"deploy":      {"replicas", "mode"},
	"extends":     {"all"},
	"ports":       {"all"},
	"expose":      {"all"},
	"profiles":    {"all"},
	"command":     {"all"},
	"environment": {"all"},
	"all":         {"all"},
}

// below is the path of a key's value in wanted; ok: it is of interest.
func below(at, key string) (next string, ok bool) {
	keys := wanted[at]
	switch {
	case slices.Contains(keys, "*"):
		return at + ".*", true
	case slices.Contains(keys, "all"):
		return "all", true
	case slices.Contains(keys, key):
		return key, true
	}
	return "", false
}

// documents parses a file, from the reader, and puts variables in.
func (l *loading) documents(name string, from place, env map[string]string) ([]*node, error) {
	if l.loads++; l.loads > maxFiles {
		return nil, l.fail(from, "more than %d files are included or extended", maxFiles)
	}
	data, err := l.options.Read(name)
	if err != nil {
		if from.line == 0 {
			from.file = name
			return nil, l.fail(from, "%s", reason(err))
		}
		return nil, l.fail(from, "%s: %s", l.options.Show(name), reason(err))
	}
	if shown := l.options.Show(name); !slices.Contains(l.project.Files, shown) {
		l.project.Files = append(l.project.Files, shown)
	}
	if len(data) > MaxFile {
		return nil, l.fail(place{file: name}, "is larger than %d bytes", MaxFile)
	}
	load, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		return nil, l.fail(place{file: name}, "%v", err)
	}
	var docs []*node
	for {
		var doc yaml.Node
		if err := load.Load(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, l.noYAML(name, err)
		}
		top := &doc
		if doc.Kind == yaml.DocumentNode {
			if len(doc.Content) == 0 {
				continue
			}
			top = doc.Content[0]
		}
		c := &converter{loading: l, file: name, env: env, open: map[*yaml.Node]bool{}}
		if err := c.unique(top); err != nil {
			return nil, err
		}
		if top.Kind != yaml.MappingNode {
			if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
				continue
			}
			return nil, l.fail(c.at(top), "expected keys such as services, found %s", what(top))
		}
		n, err := c.node(top, "")
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
		if len(docs) > maxFiles {
			return nil, l.fail(c.at(top), "more than %d documents in one file", maxFiles)
		}
	}
}

func (l *loading) noYAML(name string, err error) error {
	var e *yaml.LoadError
	if errors.As(err, &e) && e.Mark.Line > 0 {
		return l.fail(place{name, e.Mark.Line, e.Mark.Column}, "is no YAML: %s", e.Message)
	}
	return l.fail(place{file: name}, "is no YAML: %v", err)
}

// reason leaves out operation and path, which the message has already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

func what(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("%q", cut(n.Value))
}

// cut shortens what an error repeats of a file.
func cut(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// converter makes nodes of one document's.
type converter struct {
	*loading
	file string
	env  map[string]string
	open map[*yaml.Node]bool // anchors on the way down, to find cycles
}

func (c *converter) at(n *yaml.Node) place { return place{c.file, n.Line, n.Column} }

// unique refuses a key that is given twice, anywhere in the document.
func (c *converter) unique(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		seen := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode && key.Kind != yaml.AliasNode {
				return c.fail(c.at(key), "a key is a word")
			}
			if line := seen[key.Value]; line != 0 && key.Kind == yaml.ScalarNode {
				return c.fail(c.at(key), "%q is given twice; first in line %d", cut(key.Value), line)
			}
			seen[key.Value] = key.Line
		}
	}
	for _, child := range n.Content {
		if err := c.unique(child); err != nil {
			return err
		}
	}
	return nil
}

// node takes over a value that stands at a path of wanted.
func (c *converter) node(n *yaml.Node, at string) (*node, error) {
	if n.Kind == yaml.AliasNode {
		if n.Alias == nil || c.open[n.Alias] {
			return nil, c.fail(c.at(n), "the alias *%s stands within its own anchor", cut(n.Value))
		}
		c.open[n.Alias] = true
		v, err := c.node(n.Alias, at)
		delete(c.open, n.Alias)
		return v, err
	}
	if err := c.spend(c.at(n), 1); err != nil {
		return nil, err
	}
	out := &node{place: c.at(n)}
	switch n.Tag {
	case "!reset":
		out.mark = resets
		return out, nil
	case "!override":
		out.mark = replaces
	}
	switch n.Kind {
	case yaml.MappingNode:
		out.kind = mapping
		return out, c.mapping(out, n, at)
	case yaml.SequenceNode:
		out.kind = sequence
		for _, item := range n.Content {
			v, err := c.node(item, at)
			if err != nil {
				return nil, err
			}
			if v.mark != resets {
				out.list = append(out.list, v)
			}
		}
	default:
		return out, c.scalar(out, n)
	}
	return out, nil
}

// mapping takes over the keys that are wanted, then those of merge keys that
// are not there yet.
func (c *converter) mapping(out *node, n *yaml.Node, at string) error {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Value == "<<" && (key.Tag == "!!merge" || key.Tag == "" || key.Tag == "!!str" && key.Style == 0) {
			merged = append(merged, value)
			continue
		}
		next, ok := below(at, key.Value)
		if !ok {
			continue
		}
		v, err := c.node(value, next)
		if err != nil {
			return err
		}
		v.key = c.at(key)
		out.set(key.Value, v)
	}
	for _, m := range merged {
		if err := c.mergeKey(out, m, at); err != nil {
			return err
		}
	}
	return nil
}

func (c *converter) mergeKey(out *node, value *yaml.Node, at string) error {
	target := value
	if value.Kind == yaml.AliasNode {
		target = value.Alias
	}
	switch {
	case target != nil && target.Kind == yaml.MappingNode:
		v, err := c.node(value, at)
		if err != nil {
			return err
		}
		for _, key := range v.keys {
			if out.of[key] == nil {
				out.set(key, v.of[key])
			}
		}
		return nil
	case target != nil && target.Kind == yaml.SequenceNode:
		if c.open[target] {
			return c.fail(c.at(value), "the alias *%s stands within its own anchor", cut(value.Value))
		}
		c.open[target] = true
		defer delete(c.open, target)
		for _, item := range target.Content {
			if err := c.spend(c.at(value), 1); err != nil {
				return err
			}
			if item.Kind == yaml.SequenceNode {
				return c.fail(c.at(item), "a merge key takes keys with values, or a list of those")
			}
			if err := c.mergeKey(out, item, at); err != nil {
				return err
			}
		}
		return nil
	}
	return c.fail(c.at(value), "a merge key takes keys with values, or a list of those")
}

func (c *converter) scalar(out *node, n *yaml.Node) error {
	out.raw, out.null, out.number = n.Value, n.Tag == "!!null", n.Tag == "!!int"
	if len(n.Value) > maxScalar {
		return c.fail(c.at(n), "a value of %d bytes is too long", len(n.Value))
	}
	out.text = n.Value
	// Only strings have variables, in the order of compose: a number has none.
	if !strings.Contains(n.Value, "$") || n.Tag != "!!str" && n.Tag != "!override" {
		return nil
	}
	text, unset, err := interpolate(n.Value, c.env)
	if err != nil {
		return c.fail(c.at(n), "%s", err)
	}
	out.text, out.unset = text, unset
	return nil
}
