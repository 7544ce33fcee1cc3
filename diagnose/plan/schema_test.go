package plan

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// The schema takes what Read takes, and refuses an unknown key wherever it is.
func TestFileJSONSchema(t *testing.T) {
	schema, err := FileJSONSchema().Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		var doc any
		if err := yaml.Load([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		return schema.Validate(doc)
	}
	for _, text := range []string{shop, hosts, "schema: portwhy.plan/v1\nservices: {a: {ports: {http: 80}}}\n"} {
		if err := valid(text); err != nil {
			t.Errorf("%v:\n%s", err, text)
		}
	}
	for _, key := range []string{"policy:", "ranges:", "owner:", "exposure:", "connections:", "expect:", "addresses:", "firewall:", "runs:"} {
		wrong := strings.Replace(shop, key, "x"+key, 1)
		if valid(wrong) == nil {
			t.Errorf("the schema takes x%s", key)
		}
		if _, err := Read("x", strings.NewReader(wrong)); err == nil {
			t.Errorf("Read takes x%s", key)
		}
	}
}
