package cause

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// closedList is the list that scripts rely on. A line is added for a new code;
// none is ever changed.
func closedList(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

func TestAllIsTheClosedList(t *testing.T) {
	var got []string
	for _, e := range All() {
		got = append(got, e.Code)
	}
	want := closedList(t)
	for _, code := range want {
		if !slices.Contains(got, code) {
			t.Errorf("%s has no entry", code)
		}
	}
	for _, code := range got {
		if !slices.Contains(want, code) {
			t.Errorf("%s is not in testdata/codes.txt", code)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the entries stand in another order than the list:\ngot  %q\nwant %q", got, want)
	}
}

func TestEntries(t *testing.T) {
	kebab := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)+$`)
	seen := map[string]bool{}
	summaries := map[string]string{}
	for _, e := range All() {
		t.Run(e.Code, func(t *testing.T) {
			if seen[e.Code] {
				t.Error("the code is there twice")
			}
			seen[e.Code] = true
			if !kebab.MatchString(e.Code) {
				t.Error("the code is not in kebab-case")
			}
			if other := summaries[e.Summary]; other != "" {
				t.Errorf("%s has the same summary", other)
			}
			summaries[e.Summary] = e.Code
			if e.Group == "" {
				t.Error("no group")
			}
			switch e.Kind {
			case Blocks, Limits, Tells:
			default:
				t.Errorf("kind %q", e.Kind)
			}
			if e.Summary == "" || strings.ContainsAny(e.Summary, "\n`") || strings.HasSuffix(e.Summary, ".") || utf8.RuneCountInString(e.Summary) > 90 {
				t.Errorf("the summary is not one short line without a full stop: %q", e.Summary)
			}
			testText(t, "Means", e.Means)
			testText(t, "Shows", e.Shows)
			testText(t, "Mend", e.Mend)
			if n := len(strings.Fields(e.Means + " " + e.Shows + " " + e.Mend)); n < 70 || n > 170 {
				t.Errorf("the page has %d words; 80 to 150 fit a screen and say enough", n)
			}
			for i, see := range e.See {
				if _, ok := Find(see); !ok {
					t.Errorf("See names %s, which doesn't exist", see)
				}
				if see == e.Code || slices.Contains(e.See[:i], see) {
					t.Errorf("See names %s needlessly", see)
				}
			}
		})
	}
}

// testText checks what renderers rely on: wrapped lines, and commands indented
// by four spaces in blocks of their own.
func testText(t *testing.T, name, text string) {
	t.Helper()
	if strings.TrimSpace(text) == "" || text != strings.TrimSpace(text) && name != "Mend" || strings.Contains(text, "\n\n\n") {
		t.Errorf("%s is empty or has blank lines at its ends", name)
	}
	wasCommand, wasBlank := false, true
	for _, line := range strings.Split(text, "\n") {
		command := strings.HasPrefix(line, "    ")
		switch {
		case strings.ContainsAny(line, "\t\r`") || strings.TrimRight(line, " ") != line:
			t.Errorf("%s has a tab, a back quote or a space at the end of %q", name, line)
		case !command && strings.HasPrefix(line, " "):
			t.Errorf("%s: %q is neither prose nor indented by four", name, line)
		case !command && utf8.RuneCountInString(line) > 80, utf8.RuneCountInString(line) > 120:
			t.Errorf("%s: %q is too wide", name, line)
		case line != "" && !wasBlank && command != wasCommand:
			t.Errorf("%s: no blank line between prose and the command near %q", name, line)
		}
		if command && name != "Mend" {
			t.Errorf("%s has the command %q, which belongs to Mend", name, line)
		}
		wasCommand, wasBlank = command, line == ""
	}
}

func TestKinds(t *testing.T) {
	for code, want := range map[string]Kind{
		"port-in-use": Blocks, "localhost-ipv6-first": Tells, "port-in-ephemeral-range": Tells,
		"firewall-not-persistent": Limits, "facts-missing": Limits, "prediction-differs": Limits,
	} {
		if e, _ := Find(code); e.Kind != want {
			t.Errorf("%s is a %s, want %s", code, e.Kind, want)
		}
	}
}

func TestFind(t *testing.T) {
	e, ok := Find("port-privileged")
	if !ok || e.Group != Bind || !strings.Contains(e.Means, "ip_unprivileged_port_start") {
		t.Errorf("Find(port-privileged) = %+v, %v", e, ok)
	}
	for _, code := range []string{"", "port", "PORT-PRIVILEGED", "port-privileged "} {
		if e, ok := Find(code); ok {
			t.Errorf("Find(%q) found %s", code, e.Code)
		}
	}
}

func TestNear(t *testing.T) {
	for _, c := range []struct {
		typed, first string // first "" for no suggestion
	}{
		{"no-listner", "no-listener"},
		{"No_Listener", "no-listener"},
		{"port-priviledged", "port-privileged"},
		{"accpet-queue-full", "accept-queue-full"},
		{"firewall drop", "firewall-drop"},
		{"queue-full", "accept-queue-full"},
		{"time-wait", "port-time-wait"},
		{"v6only", "listener-v6only"},
		{"", ""},
		{"x", ""},
		{"something-else-entirely", ""},
		{strings.Repeat("no-listener", 1000), ""},
	} {
		got := Near(c.typed)
		if c.first == "" && len(got) > 0 || c.first != "" && (len(got) == 0 || got[0] != c.first) {
			t.Errorf("Near(%.40q) = %q, want %q first", c.typed, got, c.first)
		}
		if len(got) > maxNear {
			t.Errorf("Near(%.40q) has %d suggestions", c.typed, len(got))
		}
	}
	if got := Near("firewall"); len(got) != maxNear {
		t.Errorf("a common part gives %d suggestions, want %d", len(got), maxNear)
	}
}

func FuzzNear(f *testing.F) {
	for _, s := range []string{"no-listener", "noliste", "\xff\xfe", "ПОРТ", "-", "firewall"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		for _, code := range Near(typed) {
			if _, ok := Find(code); !ok {
				t.Errorf("Near(%q) suggests %q, which doesn't exist", typed, code)
			}
		}
	})
}
