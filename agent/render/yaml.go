package render

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v4"
)

// YAML writes v with the names and the order of its JSON form.
func YAML(v any) ([]byte, error) {
	doc, err := encode(v)
	if err != nil {
		return nil, err
	}
	// JSON is YAML, but for surrogate pairs; reading it keeps the order of the keys.
	var node yaml.Node
	if err := yaml.Unmarshal(escapeDoc(doc, yamlEscape), &node); err != nil {
		return nil, fmt.Errorf("encoding YAML: %w", err)
	}
	block(&node)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&node); err != nil {
		return nil, fmt.Errorf("encoding YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("encoding YAML: %w", err)
	}
	return VisibleYAML(b.Bytes()), nil
}

// VisibleYAML is a document in YAML whose words from outside stand in double
// quotes, with escapes for what is not visible.
func VisibleYAML(doc []byte) []byte { return escapeDoc(doc, yamlEscape) }

func yamlEscape(out []byte, r rune) []byte {
	if r < 0x10000 {
		return fmt.Appendf(out, `\u%04x`, r)
	}
	return fmt.Appendf(out, `\U%08x`, r)
}

// block turns JSON's style into YAML's. A string with a character that is not
// visible stays in double quotes, where it can be escaped as in JSON.
func block(n *yaml.Node) {
	switch {
	case n.Kind != yaml.ScalarNode:
		n.Style = 0
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
	case n.Tag != "!!str":
	case allVisible(n.Value) && len(n.Value) < 80:
		n.Style = 0
	default:
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		block(c)
	}
}
