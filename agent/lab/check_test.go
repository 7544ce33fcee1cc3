package lab

import (
	"strings"
	"testing"
)

func TestCheckScenario(t *testing.T) {
	s, err := Parse("check", "x", "# It is checked\nhost here\ncheck here -f /srv/a.yaml\n  ok connected\n  broken 'refused, expected'\n  cause no-listener\n")
	if err != nil {
		t.Fatal(err)
	}
	c := s.Steps[0].Checks
	if got := c.answer(); got != "ok, broken `no-listener`" || c.worst() != 2 || c.Exit != -1 {
		t.Errorf("%q, worst %d, exit %d", got, c.worst(), c.Exit)
	}
	for _, bad := range []string{"check here 80\n", "check here 80\n  fine\n", "check here 80\n  cause x\n", "check here 80\n  exit x\n  ok\n"} {
		if _, err := Parse("check", "x", "# It is checked\nhost here\n"+bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	const answer = `{"schema":"portwhy.check/v1","checks":[{"name":"a","status":"ok","says":"connected in 1 ms"},{"name":"b","status":"broken","says":"refused, expected reachable","cause":{"code":"no-listener"}}]}`
	a, err := ParseCheckAnswer([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	if wrong := c.Compare(a, 2); len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}
	a.Checks[0].Status, a.Checks[1].Cause = "warning", nil
	if wrong := strings.Join(c.Compare(a, 1), "\n"); strings.Count(wrong, "\n") != 2 || !strings.Contains(wrong, "exit status 1, want 2") {
		t.Errorf("%q", wrong)
	}
	if _, err := ParseCheckAnswer([]byte(`{"schema":"portwhy.report/v1"}`)); err == nil {
		t.Error("another schema was taken")
	}
}
