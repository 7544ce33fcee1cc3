package check

import "github.com/google/jsonschema-go/jsonschema"

// FileJSONSchema describes a file of checks to editors. What goes with what is
// said by [Read] alone, which is the stricter of the two.
func FileJSONSchema() *jsonschema.Schema {
	text := func(about string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Description: about} }
	word := func(about string, values ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: about, Enum: values}
	}
	number := func(about string, low, high float64) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "integer", Description: about, Minimum: &low, Maximum: &high}
	}
	wait := func(about string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: about + ", with its unit: 500ms, 3s", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	}
	scalar := func(about string) *jsonschema.Schema {
		return &jsonschema.Schema{Types: []string{"string", "integer"}, Description: about}
	}
	// No part may stand in two places, so each is made anew.
	timeout := func() *jsonschema.Schema { return wait("how long a probe may take") }
	retry := func() *jsonschema.Schema { return number("how often to ask again if it fails", 0, maxRetry) }
	target := func() *jsonschema.Schema {
		return scalar("whom to ask: 5432, db1:5432, udp://10.0.0.1:53, https://host/path, unix:///run/x.sock")
	}
	who := func(about string) *jsonschema.Schema {
		return object(about, map[string]*jsonschema.Schema{
			"process":   scalar("the program's name, as in ps"),
			"unit":      scalar("the unit of systemd; .service may be left out"),
			"user":      scalar("the user's name or number"),
			"container": scalar("the container's name or id"),
		})
	}
	networks := func(about string) *jsonschema.Schema {
		least, most := 1, maxSources
		return &jsonschema.Schema{Description: about, AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "array", MinItems: &least, MaxItems: &most, Items: &jsonschema.Schema{Type: "string"}}}}
	}
	check := object("one check, or a target alone that must be reachable", map[string]*jsonschema.Schema{
		"name":        scalar("what people call it; by default what it asks"),
		"target":      target(),
		"expect":      word("how connecting has to end; reachable if nothing is said", string(Reachable), string(Refused), string(Closed)),
		"answered_by": who("who has to answer"),
		"tls": object("what its certificate has to be like", map[string]*jsonschema.Schema{
			"name": scalar("the name that it has to be good for; by default the target's"),
			"days": number("how many days it has to be good for at least", 0, 10_000),
		}),
		"latency":          wait("how long connecting may take"),
		"queue":            &jsonschema.Schema{Types: []string{"string", "number"}, Description: "how full the queue of connections that wait for accept may be: 80%"},
		"bound_by":         who("who alone may have the port"),
		"unreachable_from": networks("from where it can't be reached, by the model of the firewall: 10.0.0.9, 10.0.0.0/8, fe80::/10%eth0"),
		"reachable_from":   networks("from where it can be reached, by the model of the firewall"),
		"firewall": object("that the firewall has not changed", map[string]*jsonschema.Schema{
			"unchanged_since": text("the file that portwhy rules -o json wrote, relative to this one"),
			"fingerprint":     &jsonschema.Schema{Type: "string", Description: "the fingerprint in such a file", Pattern: `^[0-9a-f]{64}$`},
		}),
		"plan": object("that a plan holds, by itself and on this host", map[string]*jsonschema.Schema{
			"file":        text("the plan's file, relative to this one"),
			"environment": scalar("the environment that is here; by default the only one"),
			"host":        scalar("what the plan calls this host; by default it is known by its addresses"),
		}),
		"timeout": timeout(),
		"retry":   retry(),
	})
	least, most := 1, maxChecks
	s := object("checks for portwhy check -f FILE", map[string]*jsonschema.Schema{
		"version":  number("the version of this form", 1, 1),
		"schema":   word("the name of this form, in the place of version", FileSchema),
		"defaults": object("what holds for every check that doesn't say otherwise", map[string]*jsonschema.Schema{"timeout": timeout(), "retry": retry()}),
		"checks":   {Type: "array", MinItems: &least, MaxItems: &most, Items: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{target(), check}}},
	})
	s.Required = []string{"checks"}
	s.AnyOf = []*jsonschema.Schema{{Required: []string{"version"}}, {Required: []string{"schema"}}}
	return s
}

// object is a mapping that has these keys and no others.
func object(about string, keys map[string]*jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Description: about, Properties: keys, AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
}
