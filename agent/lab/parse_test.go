package lab

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const good = `# A title
# and more of it
# over two lines
needs root uids
host here systemd etc/ufw etc/default/ufw
host there no-lo
link here:eth0 10.0.0.1/24 fd00::1/64 there:eth0
start here srv uid=65534 in=blue env=A=1 env=B=2 fault listen -banner 'x y\n' 127.0.0.1:80
symptom here ETIMEDOUT<3000>900 connect 127.0.0.1:80
# not part of the title any more
ask there diagnose 10.0.0.1:80
  status broken
  outcome timeout
  cause accept-queue-full proven
  after
  culprit kind=process pid=$srv
  also no-route link-down
  finding port-in-use note key=a=b
  no-finding x y
  limit some words
  evidence more words
  fix-command ufw allow 80
  fix-undo ufw delete allow 80
  server name=nginx
  no-replay it moves
ask here --no-probe 80
  exit 64
-- here/etc/a.conf --
# a line

-- there/run/../run/b --
`

func TestParse(t *testing.T) {
	s, err := Parse("group", "slug", good)
	if err != nil {
		t.Fatal(err)
	}
	want := &Scenario{Group: "group", Slug: "slug", Title: "A title", Doc: "and more of it over two lines", Needs: []string{"root", "uids"},
		Hosts: []Host{{Name: "here", Systemd: true, Etc: []string{"ufw", "default/ufw"}}, {Name: "there", NoLo: true}},
		Files: map[string]map[string]string{"here": {"/etc/a.conf": "# a line\n\n"}, "there": {"/run/b": ""}},
		Steps: []Step{
			{Line: 7, Verb: "link", Link: &Link{End{"here", "eth0", []string{"10.0.0.1/24", "fd00::1/64"}}, End{Host: "there", Device: "eth0"}}},
			{Line: 8, Verb: "start", Host: "here", Name: "srv", Options: Options{UID: "65534", NetNS: "blue", Env: []string{"A=1", "B=2"}},
				Args: []string{"fault", "listen", "-banner", `x y\n`, "127.0.0.1:80"}},
			{Line: 9, Verb: "symptom", Host: "here", Args: []string{"connect", "127.0.0.1:80"}, Symptom: &Symptom{"ETIMEDOUT", 3000, 900}},
			{Line: 11, Verb: "ask", Host: "there", Args: []string{"diagnose", "10.0.0.1:80"}, Ask: &Ask{Status: "broken", Exit: -1, Outcome: "timeout",
				Code: "accept-queue-full", Confidence: "proven", After: true, Culprit: map[string]string{"kind": "process", "pid": "$srv"},
				Also: []string{"no-route", "link-down"}, Findings: []Expected{{"port-in-use", "note", map[string]string{"key": "a=b"}}},
				NoFindings: []string{"x", "y"}, Limits: []string{"some words"}, Evidence: []string{"more words"}, Commands: []string{"ufw allow 80"}, Undos: []string{"ufw delete allow 80"},
				Server: map[string]string{"name": "nginx"}, NoReplay: "it moves"}},
			{Line: 26, Verb: "ask", Host: "here", Args: []string{"--no-probe", "80"}, Ask: &Ask{Exit: 64}},
		}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestParseErrors(t *testing.T) {
	const head = "# T\nhost a\n"
	for _, c := range []struct{ text, line, want string }{
		{"", "1", "no title"},
		{"# T\n", "2", "no host"},
		{head, "3", "nothing is asked"},
		{head + "ask a 80\n", "3", "expects no status"},
		{head + "frob a\n", "3", `unknown directive "frob"`},
		{"# T\nhost Upper\n", "2", "short lower-case name"},
		{"# T\nhost a b\n", "2", `unknown property "b"`},
		{"# T\nhost a etc/../b\n", "2", `unknown property "etc/../b"`},
		{head + "host a\n", "3", "there already"},
		{head + "  status ok\n", "3", "none above"},
		{head + "ask b 80\n", "3", "declared above"},
		{head + "ask a\n", "3", "no command"},
		{head + "run a uid=0\n", "3", "no command"},
		{head + "start a\n", "3", "want: start"},
		{head + "start a BIG x\n", "3", "want: start"},
		{head + "symptom a\n", "3", "want: symptom"},
		{head + "symptom a <3 connect x\n", "3", "no symptom"},
		{head + "symptom a ok<99999999999 connect x\n", "3", "out of range"},
		{head + "link a:eth0\n", "3", "want: link"},
		{head + "link 10.0.0.1/24 a:eth0\n", "3", "neither"},
		{head + "link a:eth0 b:eth0\n", "3", "neither"},
		{head + "run a 'x\n", "3", "never closed"},
		{head + "recorded\n", "3", "want: recorded"},
		{head + "ask a 80\n  status fine\n", "4", "status is one of"},
		{head + "ask a 80\n  status\n", "4", "wants one value"},
		{head + "ask a 80\n  exit x\n", "4", "invalid syntax"},
		{head + "ask a 80\n  cause x\n", "4", "want: cause"},
		{head + "ask a 80\n  cause x certain\n", "4", "want: cause"},
		{head + "ask a 80\n  culprit x\n", "4", "not FIELD=VALUE"},
		{head + "ask a 80\n  finding x\n", "4", "want: finding"},
		{head + "ask a 80\n  fix\n", "4", "want: fix"},
		{head + "ask a 80\n  fix 1 often\n", "4", "want: fix"},
		{head + "ask a 80\n  unfixed\n", "4", "want: unfixed"},
		{head + "ask a 80\n  status ok\n  fix 1\n  unfixed it is hot\n", "3", "a fix is applied"},
		{head + "ask a 80\n  colour red\n", "4", "unknown expectation"},
		{head + "-- b/etc/x --\n", "3", "known host"},
		{head + "-- a/usr/bin/x --\n", "3", "private to a host"},
		{head + "-- a/etc/../usr/x --\n", "3", "private to a host"},
	} {
		_, err := Parse("g", "s", c.text)
		var pe *ParseError
		if !errors.As(err, &pe) || !strings.HasPrefix(err.Error(), "g/s.txtar:"+c.line+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want line %s and %q", c.text, err, c.line, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("# T\nhost a\nask a \"x' y\" 80\n  status ok\n-- a/etc/x --\n-- --\n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse("g", "s", text); err == nil {
			Table([]*Scenario{s})
		}
	})
}

func TestCompare(t *testing.T) {
	const answer = `{"schema":"portwhy.report/v1","status":"broken","outcome":"refused",
		"root_cause":{"code":"no-listener","confidence":"proven","explains":true,"culprit":{"kind":"process","pid":7},"evidence":[{"source":"s","what":"w","value":"v"}]},
		"causes":[{"code":"no-listener"},{"code":"no-route"}],
		"findings":[{"code":"a","severity":"note","culprit":{"name":"n"}}],"limits":[{"what":"x","why":"y","needs":"root"}]}`
	a, err := ParseAnswer([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	right := func() *Ask {
		return &Ask{Status: "broken", Exit: -1, Outcome: "refused", Code: "no-listener", Confidence: "proven", Also: []string{"no-route"},
			Culprit: map[string]string{"kind": "~proc", "pid": "7"}, Findings: []Expected{{"a", "note", map[string]string{"name": "n"}}},
			Limits: []string{"root"}, Evidence: []string{"w v"}}
	}
	if wrong := right().Compare(a, 2); len(wrong) > 0 {
		t.Errorf("the right answer is said to be wrong: %q", wrong)
	}
	for name, c := range map[string]struct {
		change func(*Ask)
		exit   int
		want   string
	}{
		"exit":       {func(*Ask) {}, 3, "exit status 3, want 2"},
		"status":     {func(e *Ask) { e.Status = "unknown"; e.Exit = 2 }, 2, "status broken, want unknown"},
		"outcome":    {func(e *Ask) { e.Outcome = "reset" }, 2, "outcome refused, want reset"},
		"code":       {func(e *Ask) { e.Code = "x" }, 2, "root cause no-listener"},
		"no cause":   {func(e *Ask) { e.Code = ""; e.Also = []string{"no-listener", "no-route"} }, 2, "want none"},
		"confidence": {func(e *Ask) { e.Confidence = "likely" }, 2, "want likely"},
		"after":      {func(e *Ask) { e.After = true }, 2, "after_connect false, want true"},
		"culprit":    {func(e *Ask) { e.Culprit["pid"] = "8" }, 2, `culprit pid is "7", want "8"`},
		"also":       {func(e *Ask) { e.Also = nil }, 2, `other causes ["no-route"], want []`},
		"finding":    {func(e *Ask) { e.Findings[0].Severity = "warning" }, 2, "no finding a (warning)"},
		"finding's":  {func(e *Ask) { e.Findings[0].Culprit["name"] = "m" }, 2, "no finding a (note)"},
		"no finding": {func(e *Ask) { e.NoFindings = []string{"a"} }, 2, "finding a"},
		"limit":      {func(e *Ask) { e.Limits = []string{"wheel"} }, 2, `no limit says "wheel"`},
		"command":    {func(e *Ask) { e.Commands = []string{"z"} }, 2, `no fix "z"`},
		"undo":       {func(e *Ask) { e.Undos = []string{"z"} }, 2, `no undo "z"`},
		"evidence":   {func(e *Ask) { e.Evidence = []string{"z"} }, 2, `no evidence says "z"`},
		"server":     {func(e *Ask) { e.Server = map[string]string{"name": "x"} }, 2, `server name is ""`},
	} {
		e := right()
		c.change(e)
		if wrong := e.Compare(a, c.exit); len(wrong) != 1 || !strings.Contains(wrong[0], c.want) {
			t.Errorf("%s: got %q, want %q alone", name, wrong, c.want)
		}
	}
	a.Findings[0].Severity = "warning"
	e := right()
	e.Findings = nil
	if wrong := e.Compare(a, 2); len(wrong) != 1 || !strings.Contains(wrong[0], "unexpected warning a") {
		t.Errorf("an unexpected warning: got %q", wrong)
	}
}

func TestUnmended(t *testing.T) {
	offers := func(status string, commands ...[]string) *Answer {
		return &Answer{Status: status, RootCause: &AnswerCause{Code: "a"}, Fixes: []AnswerFix{{Title: "by hand"}, {Commands: commands}}}
	}
	kill := []string{"kill", "7"}
	for name, c := range map[string]struct {
		ask    Ask
		answer *Answer
		want   string
	}{
		"left":            {Ask{}, offers("broken", kill), "not applied: add fix NUMBER, or unfixed WHY:\n  2: kill 7"},
		"left with words": {Ask{Commands: []string{"kill 7"}}, offers("broken", kill), "not applied"},
		"applied":         {Ask{Fix: 2}, offers("broken", kill), ""},
		"excused":         {Ask{Unfixed: "it is hot"}, offers("broken", kill), ""},
		"no command":      {Ask{}, offers("broken"), ""},
		"it works":        {Ask{}, offers("warning", kill), ""},
		"no cause":        {Ask{}, &Answer{Status: "broken", Fixes: []AnswerFix{{Commands: [][]string{kill}}}}, ""},
		"no excuse":       {Ask{Unfixed: "it is hot"}, offers("broken"), "no fix is offered"},
	} {
		got := c.ask.Unmended(c.answer)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestAllows(t *testing.T) {
	unknown := &Answer{Status: "unknown"}
	other := &Answer{Status: "broken", RootCause: &AnswerCause{Code: "b"}}
	same := &Answer{Status: "broken", RootCause: &AnswerCause{Code: "a"}}
	for _, c := range []struct {
		ask       Ask
		predicted string
		now       *Answer
		want      bool
	}{
		{Ask{Code: "a"}, "unknown", unknown, true},
		{Ask{Code: "a"}, "connected", unknown, false},
		{Ask{Code: "a"}, "unknown", other, false},
		{Ask{Code: "a", Partly: true}, "refused", other, true},
		{Ask{Code: "a", Partly: true}, "refused", same, false},
	} {
		if got := c.ask.allows(AnswerFix{Predicted: c.predicted}, c.now); got != c.want {
			t.Errorf("%+v predicted %s, then %+v: %v", c.ask, c.predicted, c.now, got)
		}
	}
}

func TestSame(t *testing.T) {
	one := &Answer{Outcome: "refused", Status: "broken", RootCause: &AnswerCause{Code: "a", Confidence: "proven"}}
	two := &Answer{Outcome: "timeout", Status: "unknown", RootCause: &AnswerCause{Code: "b", Confidence: "likely"}}
	if wrong := one.Same(one); len(wrong) > 0 {
		t.Errorf("differs from itself: %q", wrong)
	}
	if wrong := one.Same(two); len(wrong) != 4 {
		t.Errorf("got %q, want all four", wrong)
	}
}

func TestParseAnswerRefuses(t *testing.T) {
	for _, text := range []string{"", "[]", `{"schema":"portwhy.report/v2"}`} {
		if _, err := ParseAnswer([]byte(text)); err == nil {
			t.Errorf("%q is taken as an answer", text)
		}
	}
}

func TestReplace(t *testing.T) {
	table := tableBegin + "new\n" + tableEnd
	got, err := Replace("a\n"+tableBegin+"old\n"+tableEnd+"b\n", table)
	if want := "a\n" + table + "b\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := Replace("nothing", table); err == nil {
		t.Error("a document without a place for the table is taken")
	}
}

func TestUnshown(t *testing.T) {
	ask := &Ask{Code: "no-listener", Also: []string{"no-route"}, Findings: []Expected{{Code: "no-such-code"}}}
	all := []*Scenario{{Steps: []Step{{Ask: ask}}}}
	reported := map[string]bool{"no-listener": true, "no-route": true, "link-down": true}
	for code := range unplayed {
		reported[code] = true
	}
	got := strings.Join(Unshown(all, reported), "\n")
	want := `a scenario expects "no-such-code", which the catalogue does not have
link-down can be reported and no scenario shows it: add one, or its reason to unplayed`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
