package lab

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	symptomRE  = regexp.MustCompile(`^([A-Za-z:]+)(?:<(\d+))?(?:>(\d+))?$`)
	statuses   = []string{"ok", "warning", "broken", "unknown"}
	confidence = []string{"proven", "likely", "possible"}
)

func parseSymptom(word string) (*Symptom, error) {
	m := symptomRE.FindStringSubmatch(word)
	if m == nil {
		return nil, fmt.Errorf("%q is no symptom: want ERRNO, ok, EOF, silence or data, then <MS or >MS", word)
	}
	s := Symptom{Word: m[1]}
	for i, to := range []*int64{&s.FasterMS, &s.SlowerMS} {
		if m[i+2] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+2], 10, 32)
		if err != nil {
			return nil, err
		}
		*to = n
	}
	return &s, nil
}

// expect reads one indented line below a question.
func (e *Ask) expect(words []string) error {
	key, args := words[0], words[1:]
	one := func() (string, error) {
		if len(args) != 1 {
			return "", fmt.Errorf("%s wants one value", key)
		}
		return args[0], nil
	}
	var err error
	switch key {
	case "status":
		if e.Status, err = one(); err == nil && !slices.Contains(statuses, e.Status) {
			err = fmt.Errorf("status is one of %s", strings.Join(statuses, ", "))
		}
	case "exit":
		var v string
		if v, err = one(); err == nil {
			e.Exit, err = strconv.Atoi(v)
		}
	case "outcome":
		e.Outcome, err = one()
	case "cause":
		if len(args) != 2 || !slices.Contains(confidence, args[1]) {
			return errors.New("want: cause CODE proven|likely|possible")
		}
		e.Code, e.Confidence = args[0], args[1]
	case "culprit":
		e.Culprit, err = fields(args)
	case "server":
		e.Server, err = fields(args)
	case "after":
		e.After = true
	case "also":
		e.Also = args
	case "finding":
		if len(args) < 2 {
			return errors.New("want: finding CODE note|warning [FIELD=VALUE…]")
		}
		f := Expected{Code: args[0], Severity: args[1]}
		f.Culprit, err = fields(args[2:])
		e.Findings = append(e.Findings, f)
	case "no-finding":
		e.NoFindings = append(e.NoFindings, args...)
	case "limit":
		e.Limits = append(e.Limits, strings.Join(args, " "))
	case "evidence":
		e.Evidence = append(e.Evidence, strings.Join(args, " "))
	case "fix":
		err = e.expectFix(args)
	case "fix-command":
		e.Commands = append(e.Commands, strings.Join(args, " "))
	case "fix-undo":
		e.Undos = append(e.Undos, strings.Join(args, " "))
	case "unfixed":
		if e.Unfixed = strings.Join(args, " "); e.Unfixed == "" {
			err = errors.New("want: unfixed WHY")
		}
	case "no-replay":
		e.NoReplay = strings.Join(args, " ")
	default:
		err = fmt.Errorf("unknown expectation %q", key)
	}
	return err
}

func (e *Ask) expectFix(args []string) error {
	want := errors.New("want: fix NUMBER [without-undo|applied] [partly]")
	if len(args) == 0 {
		return want
	}
	for _, how := range args[1:] {
		switch how {
		case "without-undo":
			e.NoUndo = true
		case "applied":
			e.Apply = true
		case "partly":
			e.Partly = true
		default:
			return want
		}
	}
	var err error
	e.Fix, err = strconv.Atoi(args[0])
	return err
}

func fields(args []string) (map[string]string, error) {
	m := map[string]string{}
	for _, a := range args {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not FIELD=VALUE", a)
		}
		m[k] = v
	}
	return m, nil
}
