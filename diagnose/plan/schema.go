package plan

import (
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/portwhy/portwhy/diagnose/listeners"
)

// FileJSONSchema describes a plan's file to editors. [Read] is the stricter of
// the two: it knows which environments, hosts and services there are.
func FileJSONSchema() *jsonschema.Schema {
	text := func(about string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Description: about} }
	ports := func() *jsonschema.Schema {
		return &jsonschema.Schema{Types: []string{"integer", "string"}, Description: "a port, or a range of them as in 8000-8010", Pattern: `^[0-9]+(-[0-9]+)?$`}
	}
	portsByEnvironment := func() *jsonschema.Schema { return either(ports(), byName("the port by environment", ports())) }
	address := func() *jsonschema.Schema { return text("an IPv4 or IPv6 address, or * for all") }
	many := func(of func() *jsonschema.Schema) *jsonschema.Schema {
		return either(of(), &jsonschema.Schema{Type: "array", Items: of()})
	}
	word := func(about string, values ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: about, Enum: values}
	}
	host := object("a host", map[string]*jsonschema.Schema{
		"addresses": many(func() *jsonschema.Schema { return text("an address of the host") }),
		"firewall":  many(func() *jsonschema.Schema { return text("a file with the host's rules, beside this one") }),
	})
	port := object("a port that the service listens on", map[string]*jsonschema.Schema{
		"port":     portsByEnvironment(),
		"protocol": word("tcp, unless it is told", "tcp", "udp"),
		"bind":     either(address(), byName("the address by environment", address())),
		"exposure": word("who is meant to reach it", string(listeners.ReachLoopback), string(listeners.ReachHost), string(listeners.ReachLAN), string(listeners.ReachAny)),
		"speaks":   text("the protocol, as a URL's scheme: http, https, redis"),
	})
	port.Required = []string{"port"}
	on := func() *jsonschema.Schema { return text("the host that the service is on") }
	service := object("a service", map[string]*jsonschema.Schema{
		"owner": text("who answers for it"),
		"about": text("what it is"),
		"runs":  text("the process, unit or container that it is"),
		"on":    either(on(), byName("the host by environment", on())),
		"ports": byName("its ports by name", either(ports(), port)),
	})
	connection := object("who talks to whom", map[string]*jsonschema.Schema{
		"from":         many(func() *jsonschema.Schema { return text("a service, or an address outside the plan") }),
		"to":           text("SERVICE.PORT, or SERVICE if it has one port"),
		"environments": many(func() *jsonschema.Schema { return text("where it is so; everywhere, unless it is told") }),
		"expect":       word("connected, unless it is told", "connected", "blocked"),
	})
	connection.Required = []string{"from", "to"}
	environment := object("an environment", map[string]*jsonschema.Schema{"hosts": byName("its hosts by name", host)})
	environment.Type, environment.Types = "", []string{"object", "null"}
	var is any = Schema
	s := object("ports per service and environment, for portwhy plan", map[string]*jsonschema.Schema{
		"schema":       {Type: "string", Const: &is},
		"environments": either(&jsonschema.Schema{Type: "array", Items: text("an environment")}, byName("the environments by name", environment)),
		"policy": object("where new ports are taken from", map[string]*jsonschema.Schema{
			"ranges": many(ports), "reserved": many(ports),
		}),
		"services":    byName("the services by name", service),
		"connections": {Type: "array", Items: connection},
	})
	s.Required = []string{"schema", "services"}
	return s
}

func either(a, b *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{a, b}}
}

// object is a mapping that has these keys and no others.
func object(about string, keys map[string]*jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Description: about, Properties: keys, AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
}

// byName is a mapping whose keys are names that the plan gives.
func byName(about string, value *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Description: about, AdditionalProperties: value, PropertyNames: &jsonschema.Schema{Pattern: "^[A-Za-z0-9_-]{1,63}$"}}
}
