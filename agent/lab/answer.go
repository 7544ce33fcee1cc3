package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Answer is what a scenario reads of portwhy's JSON. It has its own types: a
// renamed field of the report is then seen as what it is, a broken promise.
type Answer struct {
	Schema    string          `json:"schema"`
	Outcome   string          `json:"outcome"`
	Status    string          `json:"status"`
	RootCause *AnswerCause    `json:"root_cause"`
	Causes    []AnswerCause   `json:"causes"`
	Findings  []AnswerFinding `json:"findings"`
	Limits    []struct {
		What, Why, Needs string
	} `json:"limits"`
	Server map[string]any `json:"server"`
	Fixes  []AnswerFix    `json:"fixes"`
}

// AnswerFix is a fix in an answer.
type AnswerFix struct {
	Title     string     `json:"title"`
	Commands  [][]string `json:"commands"`
	Undo      [][]string `json:"undo"`
	Opens     string     `json:"opens"`
	Predicted string     `json:"predicted_outcome"`
	Check     string     `json:"check"`
}

// AnswerCause is a cause in an answer.
type AnswerCause struct {
	Code       string         `json:"code"`
	Title      string         `json:"title"`
	Confidence string         `json:"confidence"`
	Because    string         `json:"because"`
	Explains   bool           `json:"explains"`
	After      bool           `json:"after_connect"`
	Culprit    map[string]any `json:"culprit"`
	Evidence   []struct {
		Source, What, Value string
	} `json:"evidence"`
}

// AnswerFinding is a finding in an answer.
type AnswerFinding struct {
	Code     string         `json:"code"`
	Severity string         `json:"severity"`
	Title    string         `json:"title"`
	Culprit  map[string]any `json:"culprit"`
}

// ParseAnswer reads portwhy's JSON for one target.
func ParseAnswer(text []byte) (*Answer, error) {
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if a.Schema != "portwhy.report/v1" {
		return nil, fmt.Errorf("the answer's schema is %q", a.Schema)
	}
	return &a, nil
}

// Compare says in which points the answer is not the right one: all that is
// expected is there, and no other cause.
func (e *Ask) Compare(a *Answer, exit int) []string {
	var wrong []string
	miss := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	want := e.Exit
	if want < 0 {
		want = slices.Index(statuses, e.Status)
	}
	if exit != want {
		miss("exit status %d, want %d", exit, want)
	}
	if a.Status != e.Status {
		miss("status %s, want %s", a.Status, e.Status)
	}
	if e.Outcome != "" && a.Outcome != e.Outcome {
		miss("outcome %s, want %s", a.Outcome, e.Outcome)
	}
	e.compareCauses(a, miss)
	for _, f := range e.Findings {
		if !slices.ContainsFunc(a.Findings, f.is) {
			miss("no finding %s (%s) %v", f.Code, f.Severity, f.Culprit)
		}
	}
	for _, f := range a.Findings {
		if slices.Contains(e.NoFindings, f.Code) {
			miss("finding %s (%s)", f.Code, f.Title)
		}
		if f.Severity == "warning" && !slices.ContainsFunc(e.Findings, func(x Expected) bool { return x.is(f) }) {
			miss("unexpected warning %s (%s)", f.Code, f.Title)
		}
	}
	for _, text := range e.Limits {
		found := false
		for _, l := range a.Limits {
			found = found || strings.Contains(l.What+" "+l.Why+" "+l.Needs, text)
		}
		if !found {
			miss("no limit says %q", text)
		}
	}
	compareFields("server", e.Server, a.Server, miss)
	e.compareFixes(a, miss)
	return wrong
}

// compareFixes looks for the commands that are expected, each as a line.
func (e *Ask) compareFixes(a *Answer, miss func(string, ...any)) {
	var commands, undo []string
	for _, f := range a.Fixes {
		for _, argv := range f.Commands {
			commands = append(commands, strings.Join(argv, " "))
		}
		for _, argv := range f.Undo {
			undo = append(undo, strings.Join(argv, " "))
		}
	}
	for _, line := range e.Commands {
		if !slices.Contains(commands, line) {
			miss("no fix %q among %q", line, commands)
		}
	}
	for _, line := range e.Undos {
		if !slices.Contains(undo, line) {
			miss("no undo %q among %q", line, undo)
		}
	}
}

// Unmended says what is wrong if the scenario leaves a fix untried: each one that
// is offered for a root cause is applied and undone, or it is said why not.
func (e *Ask) Unmended(a *Answer) string {
	var commands strings.Builder
	for i, f := range a.Fixes {
		for _, argv := range f.Commands {
			fmt.Fprintf(&commands, "\n  %d: %s", i+1, strings.Join(argv, " "))
		}
	}
	offered := a.RootCause != nil && a.Status == "broken" && commands.Len() > 0
	switch {
	case offered && e.Fix == 0 && e.Unfixed == "":
		return "a fix is offered and not applied: add fix NUMBER, or unfixed WHY:" + commands.String()
	case !offered && e.Unfixed != "":
		return "no fix is offered, and it is said why none is applied: " + e.Unfixed
	}
	return ""
}

// allows reports whether an answer that isn't good is right after the fix: another
// cause is left, as was expected; or what the fix leads to can't be seen from here,
// as it said itself.
func (e *Ask) allows(f AnswerFix, now *Answer) bool {
	if e.Partly {
		return now.RootCause == nil || now.RootCause.Code != e.Code
	}
	return now.Status == "unknown" && f.Predicted == "unknown"
}

func (x Expected) is(f AnswerFinding) bool {
	if x.Code != f.Code || x.Severity != f.Severity {
		return false
	}
	same := true
	compareFields("", x.Culprit, f.Culprit, func(string, ...any) { same = false })
	return same
}

func (e *Ask) compareCauses(a *Answer, miss func(string, ...any)) {
	if e.Code == "" {
		if a.RootCause != nil {
			miss("root cause %s (%s: %s), want none", a.RootCause.Code, a.RootCause.Confidence, a.RootCause.Title)
		}
	} else if c := a.RootCause; c == nil {
		miss("no root cause, want %s", e.Code)
	} else {
		if c.Code != e.Code {
			miss("root cause %s (%s: %s), want %s", c.Code, c.Confidence, c.Title, e.Code)
		}
		if c.Confidence != e.Confidence {
			miss("%s because %s; want %s", c.Confidence, c.Because, e.Confidence)
		}
		if c.After != e.After {
			miss("after_connect %v, want %v", c.After, e.After)
		}
		if !c.Explains {
			miss("the root cause does not explain the outcome")
		}
		compareFields("culprit", e.Culprit, c.Culprit, miss)
		for _, text := range e.Evidence {
			found := false
			for _, v := range c.Evidence {
				found = found || strings.Contains(v.Source+" "+v.What+" "+v.Value, text)
			}
			if !found {
				miss("no evidence says %q", text)
			}
		}
		if len(c.Evidence) == 0 {
			miss("the root cause has no evidence")
		}
	}
	var others []string
	for i, c := range a.Causes {
		if i > 0 || e.Code == "" {
			others = append(others, c.Code)
		}
	}
	if !slices.Equal(others, e.Also) {
		miss("other causes %q, want %q", others, e.Also)
	}
}

// compareFields looks for each wanted field; a value that begins with ~ is to
// be contained.
func compareFields(what string, want map[string]string, got map[string]any, miss func(string, ...any)) {
	for k, v := range want {
		have := ""
		switch x := got[k].(type) {
		case nil:
		case float64:
			have = fmt.Sprintf("%.0f", x)
		default:
			have = fmt.Sprint(x)
		}
		if part, ok := strings.CutPrefix(v, "~"); ok && strings.Contains(have, part) || have == v {
			continue
		}
		miss("%s %s is %q, want %q", what, k, have, v)
	}
}

// Same says in what a recording's answer differs from the live one.
func (a *Answer) Same(b *Answer) []string {
	var wrong []string
	compare := func(what, x, y string) {
		if x != y {
			wrong = append(wrong, fmt.Sprintf("%s is %s from the snapshot, %s live", what, y, x))
		}
	}
	code := func(a *Answer) (string, string) {
		if a.RootCause == nil {
			return "none", "none"
		}
		return a.RootCause.Code, a.RootCause.Confidence
	}
	c1, p1 := code(a)
	c2, p2 := code(b)
	compare("the root cause", c1, c2)
	compare("its confidence", p1, p2)
	compare("the outcome", a.Outcome, b.Outcome)
	compare("the status", a.Status, b.Status)
	return wrong
}

// Brief is the answer in a few lines.
func (a *Answer) Brief() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s, %s\n", a.Status, a.Outcome)
	for _, c := range a.Causes {
		fmt.Fprintf(&b, "  %s %s explains=%v: %s\n    because %s\n    culprit %v\n", c.Confidence, c.Code, c.Explains, c.Title, c.Because, c.Culprit)
		for _, e := range c.Evidence {
			fmt.Fprintf(&b, "    %s: %s: %s\n", e.Source, e.What, e.Value)
		}
	}
	for _, f := range a.Fixes {
		fmt.Fprintf(&b, "  fix: %v\n    undo %v\n    opens %s, then %s (%s)\n", f.Commands, f.Undo, f.Opens, f.Predicted, f.Check)
	}
	for _, f := range a.Findings {
		fmt.Fprintf(&b, "  %s %s: %s %v\n", f.Severity, f.Code, f.Title, f.Culprit)
	}
	for _, l := range a.Limits {
		fmt.Fprintf(&b, "  unseen: %s: %s\n", l.What, l.Why)
	}
	return b.String()
}
