package cli

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/agent/report"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/diagnose/listeners"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/diagnose/preflight"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
)

// documents are the kinds of JSON that portwhy writes, and the files that it
// reads; those have no type, for their reader says what is in them.
var documents = []struct {
	name, schema, about string
	typ                 reflect.Type
}{
	{"report", diagnose.ReportSchema, "the answer about one target: portwhy TARGET, portwhy bind", reflect.TypeFor[diagnose.Report]()},
	{"reports", render.ReportsSchema, "the answers about several targets", reflect.TypeFor[render.Reports]()},
	{"listeners", listeners.Schema, "who listens: portwhy ls", reflect.TypeFor[listeners.List]()},
	{"trace", firewall.TraceSchema, "what the firewall does with one packet: portwhy trace", reflect.TypeFor[firewall.Trace]()},
	{"rules", firewall.RulesSchema, "the firewall's rules: portwhy rules", reflect.TypeFor[firewall.Page]()},
	{"why", firewall.WhySchema, "what rules do, or why they do nothing: portwhy rules why", reflect.TypeFor[firewall.Whys]()},
	{"preflight", preflight.Schema, "what will clash before it starts: portwhy preflight", reflect.TypeFor[preflight.Report]()},
	{"fixes", FixesSchema, "what was done to this host: portwhy fix log", reflect.TypeFor[Fixes]()},
	{"plan", plan.Schema, "a file for portwhy plan", nil},
	{"plan-check", plan.CheckSchema, "what in a plan clashes: portwhy plan check", reflect.TypeFor[plan.Checked]()},
	{"plan-verify", plan.VerifySchema, "what became of a plan's connections: portwhy plan verify", reflect.TypeFor[plan.Verified]()},
	{"plan-next", NextSchema, "ports that are free: portwhy plan next", reflect.TypeFor[Next]()},
	{"check", check.Schema, "what held and what didn't: portwhy check", reflect.TypeFor[check.Results]()},
	{"checks", check.FileSchema, "a file for portwhy check -f", nil},
	{"check-result", check.LineSchema, "one line of portwhy check -o ndjson", reflect.TypeFor[check.Line]()},
	{"snapshot", replay.Schema, "a recorded host: portwhy snapshot", reflect.TypeFor[recording]()},
	{"manifest", report.Schema, "what is in a support report: portwhy report", reflect.TypeFor[report.Manifest]()},
	{"explain", ExplainSchema, "pages of the catalogue: portwhy explain", reflect.TypeFor[Pages]()},
	{"version", VersionSchema, "which portwhy this is: portwhy version", reflect.TypeFor[Build]()},
}

// inputs describe those of the documents that are read.
var inputs = map[string]func() *jsonschema.Schema{"plan": plan.FileJSONSchema, "checks": check.FileJSONSchema}

// recording is the envelope of a recorded host. What a question's arguments
// and its answer look like belongs to the version that recorded it.
type recording struct {
	Schema  string    `json:"schema"`
	Tool    string    `json:"tool"`
	At      time.Time `json:"at"`
	Answers []struct {
		View     uint64 `json:"view"`
		Question string `json:"question"`
		Args     any    `json:"args"`
		Answer   any    `json:"answer,omitempty"`
		Error    string `json:"error,omitempty"`
		Kind     string `json:"kind,omitempty"`
	} `json:"answers"`
}

func newSchema(s *session) *cobra.Command {
	var names []string
	for _, d := range documents {
		names = append(names, d.name)
	}
	cmd := &cobra.Command{
		Use:       "schema [NAME]",
		Short:     "Print the JSON Schema of a document, or list them",
		Args:      arguments(0, 1),
		ValidArgs: names,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				var list strings.Builder
				for _, d := range documents {
					fmt.Fprintf(&list, "%-13s %-24s %s\n", d.name, d.schema, d.about)
				}
				return s.print([]byte(list.String()))
			}
			for _, d := range documents {
				// The name in a document's own schema field is understood, too.
				if d.name != args[0] && d.schema != args[0] {
					continue
				}
				if d.typ == nil {
					return s.document(headed(inputs[d.name](), d.schema))
				}
				schema, err := schemaOf(d.typ, d.schema)
				if err != nil {
					return err
				}
				return s.document(schema)
			}
			return usage("schema %q: there are %s", render.Cut(args[0], 40), strings.Join(names, ", "))
		},
	}
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

// schemaOf describes the JSON form of a Go type in JSON Schema 2020-12.
func schemaOf(t reflect.Type, name string) (*jsonschema.Schema, error) {
	text := func(values ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: values} }
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[time.Time]():  {Type: "string", Format: "date-time"},
		reflect.TypeFor[netip.Addr](): {Type: "string"}, // the zone of a link-local one is no part of formats ipv4 and ipv6
		// Outcomes may be added; who reads them has to expect others.
		reflect.TypeFor[diagnose.Outcome]():    {Type: "string"},
		reflect.TypeFor[diagnose.Status]():     text("ok", "warning", "broken", "unknown"),
		reflect.TypeFor[diagnose.Confidence](): text("proven", "likely", "possible"),
		reflect.TypeFor[diagnose.Result]():     text("pass", "rewrite", "stop", "skip", "unknown"),
		reflect.TypeFor[diagnose.Severity]():   text("warning", "note"),
		reflect.TypeFor[preflight.Result]():    text("free", "own", "clash", "unknown", "not-asked"),
		reflect.TypeFor[diagnose.Question]():   text("connect", "bind"),
		reflect.TypeFor[plan.Severity]():       text("error", "warning", "note", "unknown"),
		reflect.TypeFor[listeners.Reach]():     text("loopback", "host", "lan", "any"),
		reflect.TypeFor[host.State]():          {Type: "string"},
	}})
	if err != nil {
		return nil, fmt.Errorf("describing %s: %w", name, err)
	}
	open(s)
	var is any = name
	s.Properties["schema"].Const = &is
	return headed(s, name), nil
}

// headed gives a schema its name.
func headed(s *jsonschema.Schema, name string) *jsonschema.Schema {
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.ID = "https://github.com/portwhy/portwhy/schema/" + name
	s.Title = name
	return s
}

// open allows fields that a later version adds, and says that lists are always
// there: an empty one is [], never null.
func open(s *jsonschema.Schema) {
	if s.Type == "object" {
		s.AdditionalProperties = nil
	}
	if len(s.Types) == 2 && s.Types[0] == "null" && s.Types[1] == "array" {
		s.Types, s.Type = nil, "array"
	}
	if s.Types != nil && s.Properties != nil {
		s.AdditionalProperties = nil
	}
	if s.Items != nil {
		open(s.Items)
	}
	for _, p := range s.Properties {
		open(p)
	}
}
