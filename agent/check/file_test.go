package check

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/portwhy/portwhy/diagnose/document"
)

func TestRead(t *testing.T) {
	specs, err := Read("dir/checks.yaml", strings.NewReader(`version: 1
defaults: {timeout: 2s, retry: 1}
checks:
  - localhost:5432
  - name: the shop
    target: https://10.0.0.5:8443/health
    answered_by: {process: nginx, unit: nginx}
    tls: {name: shop.example, days: 14}
    latency: 200ms
    queue: 80%
    timeout: 500ms
    retry: 3
  - {target: ":5433", expect: refused}
  - {target: "udp://:53", bound_by: {process: dnsmasq, user: 101}}
  - firewall: {unchanged_since: rules.json}
  - {target: ":22", unreachable_from: [10.0.0.0/8, "fe80::1%eth0"], reachable_from: 192.0.2.7}
  - plan: {file: plan.yaml, environment: prod}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range specs {
		got = append(got, fmt.Sprintf("%d:%d %s %q %s timeout %v retry %d", s.Line, s.Column, s.kind(), s.Title(), s.Expect, s.Timeout, s.Retry))
	}
	want := []string{
		`4:5 connect "localhost:5432" reachable timeout 2s retry 1`,
		`5:5 connect "the shop" reachable timeout 500ms retry 3`,
		`13:5 connect ":5433 refused" refused timeout 2s retry 1`,
		`14:5 bound "udp://:53 only for dnsmasq, user 101"  timeout 2s retry 1`,
		`15:5 firewall "firewall as in dir/rules.json"  timeout 2s retry 1`,
		`16:5 from ":22 not from 10.0.0.0/8, not from fe80::1%eth0, from 192.0.2.7"  timeout 2s retry 1`,
		`17:5 plan "plan dir/plan.yaml"  timeout 2s retry 1`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	shop := specs[1]
	if shop.AnsweredBy != (Who{Process: "nginx", Unit: "nginx"}) || shop.TLSName != "shop.example" || shop.MinDays != 14 || shop.Latency != 200*time.Millisecond || shop.Queue != 80 {
		t.Errorf("%+v", shop)
	}
	if s := specs[2]; s.MinDays != -1 || s.Queue != -1 || !s.AnsweredBy.IsZero() {
		t.Errorf("%+v asks for what nobody said", s)
	}
}

// What is wrong with a file is named with its place, and with what was expected.
func TestReadErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"checks: [80]", `f.yaml:1:1: expected "version: 1"`},
		{"version: 2\nchecks: [80]", `f.yaml:1:10: expected 1, found "2"`},
		{"schema: portwhy.checks/v2\nchecks: [80]", `f.yaml:1:9: "portwhy.checks/v2" is none of portwhy.checks/v1`},
		{"version: 1\n", `f.yaml:1:1: there are no checks: expected a list under "checks"`},
		{"version: 1\ncheck: [80]", `f.yaml:2:1: unknown key "check"; "checks" was meant?`},
		{"version: 1\nchecks: [0]", `f.yaml:2:10: target "0": port 0 is no port`},
		{"version: 1\nchecks: [[80]]", `f.yaml:2:10: expected a target, or keys with values, found a list`},
		{"version: 1\nchecks:\n  - {target: 80, expects: refused}", `f.yaml:3:18: unknown key "expects"; "expect" was meant?`},
		{"version: 1\nchecks:\n  - {target: 80, expect: open}", `f.yaml:3:26: "open" is none of reachable, refused, closed`},
		{"version: 1\nchecks:\n  - {expect: refused}", `f.yaml:3:5: expected a "target" to ask about, or "firewall" or "plan"`},
		{"version: 1\nchecks:\n  - {target: 80, latency: fast}", `f.yaml:3:27: expected a time with its unit, as in 500ms or 3s, found "fast"`},
		{"version: 1\nchecks:\n  - {target: 80, timeout: 0s}", `f.yaml:3:27: expected a time from 1ms to 10m0s, found 0s`},
		{"version: 1\nchecks:\n  - {target: 80, queue: 120%}", `f.yaml:3:25: expected a share from 0% to 100%, found "120%"`},
		{"version: 1\nchecks:\n  - {target: 80, queue: NaN}", `f.yaml:3:25: expected a share from 0% to 100%, found "NaN"`},
		{"version: 1\nchecks:\n  - {target: 80, retry: -1}", `f.yaml:3:25: expected a number from 0 to 100, found "-1"`},
		{"version: 1\nchecks:\n  - {target: 80, answered_by: {}}", `f.yaml:3:31: expected process, unit, user or container`},
		{"version: 1\nchecks:\n  - {target: 80, answered_by: {proces: x}}", `f.yaml:3:32: unknown key "proces"; "process" was meant?`},
		{"version: 1\nchecks:\n  - {target: 80, tls: {days: 3}}", `f.yaml:3:23: the target doesn't speak TLS: write it as https://HOST or tls://HOST:PORT`},
		{"version: 1\nchecks:\n  - {target: 80, expect: refused, latency: 1s}", `f.yaml:3:44: latency can't hold where nobody may answer (expect: refused)`},
		{"version: 1\nchecks:\n  - {target: 80, bound_by: {process: x}, expect: refused}", `f.yaml:3:50: expect doesn't go with bound_by: make it a check of its own`},
		{"version: 1\nchecks:\n  - {target: 80, firewall: {fingerprint: x}}", `f.yaml:3:42: expected the 64 hexadecimal digits of a fingerprint`},
		{"version: 1\nchecks:\n  - {firewall: {}}", `f.yaml:3:16: expected unchanged_since: FILE, or fingerprint: HEX`},
		{"version: 1\nchecks:\n  - {target: 80, firewall: {unchanged_since: x}}", `f.yaml:3:14: firewall is a check of its own: it has no target`},
		{"version: 1\nchecks:\n  - {target: \"unix:///x\", bound_by: {process: x}}", `f.yaml:3:14: a unix socket has no port, and no firewall before it`},
		{"version: 1\nchecks:\n  - {target: ':80', unreachable_from: [10.0.0.1/8]}", `f.yaml:3:40: expected an address or a network without bits behind its length, as in 10.0.0.9, 10.0.0.0/8 or fe80::/10%eth0, found "10.0.0.1/8"`},
		{"version: 1\nchecks:\n  - {target: ':80', unreachable_from: [10.0.0.0/8%]}", `f.yaml:3:40: expected an address or a network`},
		{"version: 1\nchecks:\n  - {target: ':80', unreachable_from: []}", `f.yaml:3:39: expected from 1 to 64 addresses or networks`},
		{"version: 1\nchecks:\n  - {target: 'localhost:80', unreachable_from: 10.0.0.9}", `f.yaml:3:14: from outside nothing gets to loopback: write :80 for all addresses of this host`},
		{"version: 1\nchecks:\n  - {target: ':80', reachable_from: 10.0.0.9, expect: refused}", `expect doesn't go with unreachable_from, reachable_from: make it a check of its own`},
		{"version: 1\nchecks:\n  - {plan: {environment: prod}}", `f.yaml:3:12: expected file: the plan's`},
		{"version: 1\nchecks:\n  - {target: 80, plan: {file: x}}", `f.yaml:3:14: plan is a check of its own: it has no target`},
		{"version: 1\nchecks:\n  - {target: 80, name: }", `f.yaml:3:24: name has no value`},
		{"version: 1\nchecks: &a [80]\n", `f.yaml:2:9: anchors and aliases are not taken: write it out`},
		{"version: 1\nchecks: [" + strings.Repeat("80,", maxChecks+1) + "]", `f.yaml:2:9: there are 10001 checks; 10000 are the most`},
	} {
		_, err := Read("f.yaml", strings.NewReader(c.text))
		var e *document.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.90q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"version: 1\nchecks: [80]", "version: 1\nchecks:\n - {target: 'https://a', tls: {days: 1}, queue: 5%}",
		"schema: portwhy.checks/v1\nchecks:\n - firewall: {unchanged_since: x}", "version: 1\ndefaults: {retry: 3}\nchecks:\n - {target: 80, bound_by: {unit: x}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		specs, err := Read("f.yaml", strings.NewReader(text))
		var e *document.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		for _, s := range specs {
			if err == nil && (s.Title() == "" || s.Line == 0 || s.kind() == kindConnect && (s.Target == nil || s.Expect == "")) {
				t.Fatalf("%+v", s)
			}
		}
	})
}

// The example of README.md is a file of checks.
func TestExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(readme), "```yaml\n")
	example, _, found := strings.Cut(after, "```\n")
	specs, err := Read("checks.yaml", strings.NewReader(example))
	if !found || err != nil || len(specs) < 5 {
		t.Errorf("%d checks, %v", len(specs), err)
	}
	schema, err := FileJSONSchema().Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal([]byte(example), &doc); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("the schema refuses the example: %v", err)
	}
}

// Every key that the reader knows is in the schema, and the reverse.
func TestSchemaKnowsTheKeys(t *testing.T) {
	check := FileJSONSchema().Properties["checks"].Items.AnyOf[1]
	for key, s := range check.Properties {
		_, err := Read("f.yaml", strings.NewReader("version: 1\nchecks: [{"+key+": }]"))
		if err == nil || strings.Contains(err.Error(), "unknown key") {
			t.Errorf("%s: %v", key, err)
		}
		for inner := range s.Properties {
			_, err := Read("f.yaml", strings.NewReader("version: 1\nchecks: [{target: 'tls://a', "+key+": {"+inner+": }}]"))
			if err != nil && strings.Contains(err.Error(), "unknown key") {
				t.Errorf("%s.%s: %v", key, inner, err)
			}
		}
	}
	_, err := Read("f.yaml", strings.NewReader("version: 1\nchecks: [{zzzzzzzz: 1}]"))
	_, list, _ := strings.Cut(err.Error(), "known are ")
	for key := range strings.SplitSeq(list, ", ") {
		if check.Properties[key] == nil {
			t.Errorf("the schema doesn't know %s", key)
		}
	}
}
