package diagnose

import (
	"fmt"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

// One fix mends all blockers of a flow, undone in reverse; without commands for one
// of them there is no such fix. What one fix alone leads to is the next blocker.
func TestTogether(t *testing.T) {
	fix := func(name, risk string, predicted Outcome) Fix {
		return Fix{Title: name, Commands: [][]string{{"ip", name}}, Undo: [][]string{{"ss", name}}, Opens: name, Check: "simulated", Risk: risk, PredictedOutcome: predicted}
	}
	timeout := func(code string, fixes ...Fix) Cause { return Cause{Code: code, Outcome: Timeout, Fixes: fixes} }
	for _, c := range []struct {
		name   string
		causes []Cause
		want   string
	}{
		{"one", []Cause{timeout("a", fix("x", "", Connected))}, "[[ip x]]/[[ss x]]/x/x/connected/low/simulated"},
		{"two", []Cause{timeout("a", fix("x", "", Connected)), timeout("b", fix("bad", "low", Timeout), fix("y", "medium", Connected))},
			"[[ip x] [ip y]]/[[ss y] [ss x]]/do both: x, then y/x; y/connected/medium/simulated"},
		{"the same twice", []Cause{timeout("a", fix("x", "", Connected)), timeout("b", fix("x", "", Connected))}, "[[ip x]]/[[ss x]]/x/x/timeout/low/simulated"},
		{"no way for one", []Cause{timeout("a", fix("x", "", Connected)), timeout("b", Fix{Title: "by hand", PredictedOutcome: Connected})},
			"[[ip x]]/[[ss x]]/x/x/timeout/low/simulated"},
		{"after connecting", []Cause{timeout("a", fix("x", "", Connected)), {Code: "b", Outcome: Connected, After: true, Fixes: []Fix{{Title: "y", Commands: [][]string{{"ip", "y"}},
			Undo: [][]string{{"ss", "y"}}, Opens: "nothing", PredictedOutcome: Connected}}}}, "[[ip x] [ip y]]/[[ss y] [ss x]]/do both: x, then y/x/connected/low/none"},
	} {
		target, _ := ParseTarget("127.0.0.1:1")
		h := scripted{attempts: map[string]host.Attempt{"127.0.0.1": {Errno: "ETIMEDOUT"}}}
		rep, err := Run(t.Context(), h, target, []*Check{stop("s", false, Predict, "", c.causes...)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := rep.Fixes[0]
		got := fmt.Sprintf("%v/%v/%s/%s/%s/%s/%s", f.Commands, f.Undo, f.Title, f.Opens, f.PredictedOutcome, f.Risk, f.Check)
		if got != c.want || f.ID != "1" || f.Cause != "a" {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if last := rep.Fixes[len(rep.Fixes)-1]; c.name == "two" && (last.Title != "y" || last.PredictedOutcome != Timeout) {
			t.Errorf("the last blocker's fix alone: %+v; the first blocker is still there", last)
		}
	}
}
