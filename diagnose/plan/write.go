package plan

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// YAML writes a plan of one environment as its file.
func (p *Plan) YAML() ([]byte, error) {
	services := mapping()
	for _, s := range p.Services {
		ports := mapping()
		for _, port := range s.Ports {
			one := mapping()
			one.Style = yaml.FlowStyle
			put(one, "port", text(port.Numbers[DefaultEnvironment].String()))
			if port.Network != "tcp" {
				put(one, "protocol", text(port.Network))
			}
			if a := port.Bind[DefaultEnvironment]; a.IsValid() {
				put(one, "bind", quoted(a.String()))
			}
			if port.Exposure != "" {
				put(one, "exposure", text(string(port.Exposure)))
			}
			put(ports, port.Name, one)
		}
		service := mapping()
		if s.Runs != "" {
			put(service, "runs", quoted(s.Runs))
		}
		put(service, "ports", ports)
		put(services, s.Name, service)
	}
	root := mapping()
	put(root, "schema", text(Schema))
	put(root, "services", services)
	doc, err := yaml.Dump(root)
	if err != nil {
		return nil, fmt.Errorf("writing the plan: %w", err)
	}
	return doc, nil
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

// text is a word that needs no quotes.
func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

// quoted is a word from outside.
func quoted(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}

func put(m *yaml.Node, key string, value *yaml.Node) {
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}
