package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Checks are health checks with the answers that are right.
type Checks struct {
	Exit    int // -1: that of the worst status
	Results []CheckExpected
}

// CheckExpected is what one check has to say, in the order of the checks: its status
// and a part of its words, and the code of its cause, empty for none.
type CheckExpected struct{ Status, Says, Code string }

// expect reads one indented line below a check: STATUS [TEXT], or exit N, or the
// cause of the check above.
func (c *Checks) expect(words []string) error {
	switch key, args := words[0], words[1:]; {
	case slices.Contains(statuses, key):
		c.Results = append(c.Results, CheckExpected{Status: key, Says: strings.Join(args, " ")})
	case key == "cause" && len(args) == 1 && len(c.Results) > 0:
		c.Results[len(c.Results)-1].Code = args[0]
	case key == "exit" && len(args) == 1:
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		c.Exit = n
	default:
		return errors.New("want, for each check: ok|warning|broken|unknown [TEXT], then maybe cause CODE; or exit N")
	}
	return nil
}

// worst is the highest status of the checks, as the exit status is.
func (c *Checks) worst() int {
	worst := 0
	for _, r := range c.Results {
		worst = max(worst, slices.Index(statuses, r.Status))
	}
	return worst
}

// answer is what is expected, for the table.
func (c *Checks) answer() string {
	var parts []string
	for _, r := range c.Results {
		s := r.Status
		if r.Code != "" {
			s += " `" + r.Code + "`"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// CheckAnswer is what a scenario reads of the JSON of portwhy check.
type CheckAnswer struct {
	Schema string `json:"schema"`
	Status string `json:"status"`
	Checks []struct {
		Name   string       `json:"name"`
		Status string       `json:"status"`
		Says   string       `json:"says"`
		Cause  *AnswerCause `json:"cause"`
		Report *Answer      `json:"report"`
	} `json:"checks"`
}

// ParseCheckAnswer reads the JSON of portwhy check.
func ParseCheckAnswer(text []byte) (*CheckAnswer, error) {
	var a CheckAnswer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if a.Schema != "portwhy.check/v1" {
		return nil, fmt.Errorf("the answer's schema is %q", a.Schema)
	}
	return &a, nil
}

// Brief is the answer in a few lines.
func (a *CheckAnswer) Brief() string {
	var b strings.Builder
	for _, c := range a.Checks {
		code := ""
		if c.Cause != nil {
			code = " (" + c.Cause.Code + ")"
		}
		fmt.Fprintf(&b, "  %s: %s: %s%s\n", c.Status, c.Name, c.Says, code)
	}
	return b.String()
}

// Compare says in which points the answer is not the right one.
func (c *Checks) Compare(a *CheckAnswer, exit int) []string {
	var wrong []string
	miss := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	want := c.Exit
	if want < 0 {
		want = c.worst()
	}
	if exit != want {
		miss("exit status %d, want %d", exit, want)
	}
	if len(a.Checks) != len(c.Results) {
		miss("%d checks, want %d", len(a.Checks), len(c.Results))
		return wrong
	}
	for i, e := range c.Results {
		got := a.Checks[i]
		code := ""
		if got.Cause != nil {
			code = got.Cause.Code
		}
		if got.Status != e.Status || !strings.Contains(got.Says, e.Says) || code != e.Code {
			miss("check %d, %s: %s %q (%s), want %s %q (%s)", i+1, got.Name, got.Status, got.Says, code, e.Status, e.Says, e.Code)
		}
	}
	return wrong
}
