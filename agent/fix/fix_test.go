package fix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// machine is a host of lines; "iptables add X" and "iptables remove X" are its
// commands.
type machine struct {
	lines   []string
	broken  string // a command that fails
	other   string // a command that means something else now
	outcome string
	ran     []string
	guards  int
}

func (m *machine) hands() Hands {
	return Hands{
		Run: func(_ context.Context, argv []string, _ *os.File) error {
			does, line := argv[1], argv[2]
			m.ran = append(m.ran, does+" "+line)
			if does+" "+line == m.broken {
				return errors.New("it fails")
			}
			if does == "add" {
				m.lines = append(m.lines, line)
				return nil
			}
			at := slices.Index(m.lines, line)
			if at < 0 {
				return fmt.Errorf("there is no %s", line)
			}
			m.lines = slices.Delete(m.lines, at, at+1)
			return nil
		},
		Meant: func(_ context.Context, argv []string, _ time.Time) error {
			if argv[1]+" "+argv[2] == m.other {
				return errors.New("it is another now")
			}
			return nil
		},
		Print:  func(context.Context, [][]string) (string, error) { return strings.Join(m.lines, ","), nil },
		Verify: func(context.Context) (string, bool, error) { return m.outcome, m.outcome == "connected", nil },
		Guard:  func(string) error { m.guards++; return nil },
	}
}

func entry(id string) *Entry {
	return &Entry{Schema: Schema, ID: id, At: time.Now(), Commands: [][]string{{"iptables", "add", "a"}, {"iptables", "add", "b"}}, Undo: [][]string{{"iptables", "remove", "b"}, {"iptables", "remove", "a"}}, Predicted: "connected"}
}

func journal(t *testing.T) *Journal {
	t.Helper()
	j, err := OpenJournal(filepath.Join(t.TempDir(), "fixes"))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		name    string
		m       machine
		planned string
		want    error
		state   State // empty: nothing was written
		lines   string
		ran     string
	}{
		{name: "it works", m: machine{outcome: "connected"}, state: Done, lines: "x,a,b", ran: "add a; add b"},
		{name: "the host has changed", m: machine{outcome: "connected"}, planned: "other", want: ErrChanged, lines: "x"},
		{name: "the first command fails", m: machine{broken: "add a"}, want: ErrRolledBack, state: Undone, lines: "x", ran: "add a"},
		{name: "the second command fails", m: machine{broken: "add b"}, want: ErrRolledBack, state: Undone, lines: "x", ran: "add a; add b; remove a"},
		{name: "the outcome is another", m: machine{outcome: "timeout"}, want: ErrRolledBack, state: Undone, lines: "x", ran: "add a; add b; remove b; remove a"},
		{name: "its undo means another now", m: machine{outcome: "timeout", other: "remove b"}, want: ErrStuck, state: Stuck, lines: "x,b", ran: "add a; add b; remove a"},
		{name: "it can't be undone", m: machine{outcome: "timeout", broken: "remove a"}, want: ErrStuck, state: Stuck, lines: "x,a", ran: "add a; add b; remove b; remove a"},
	} {
		j := journal(t)
		c.m.lines = []string{"x"}
		planned := "x"
		if c.planned != "" {
			planned = c.planned
		}
		err := j.Apply(context.Background(), entry("1"), planned, 0, c.m.hands())
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if got := strings.Join(c.m.lines, ","); got != c.lines {
			t.Errorf("%s: the host is %s, want %s", c.name, got, c.lines)
		}
		if got := strings.Join(c.m.ran, "; "); got != c.ran {
			t.Errorf("%s: ran %s, want %s", c.name, got, c.ran)
		}
		e, err := j.Load("1")
		switch {
		case c.state == "" && !errors.Is(err, ErrNoEntry):
			t.Errorf("%s: there is an entry", c.name)
		case c.state != "" && (err != nil || e.State != c.state || c.m.guards != 1):
			t.Errorf("%s: %+v, %v, want %s", c.name, e, err, c.state)
		}
	}
}

// After a crash nothing is undone that was not done.
func TestRecover(t *testing.T) {
	for _, c := range []struct {
		name   string
		lines  string // as the crash has left it
		prints []string
		ran    string
	}{
		{"before the first command", "x", nil, ""},
		{"the first was begun and not done", "x", []string{"x"}, ""},
		{"the first is done", "x,a", []string{"x"}, "remove a"},
		{"the second was begun and not done", "x,a", []string{"x", "x,a"}, "remove a"},
		{"both are done", "x,a,b", []string{"x", "x,a"}, "remove b; remove a"},
	} {
		j := journal(t)
		m := machine{lines: strings.Split(c.lines, ",")}
		e := entry("1")
		e.State, e.Prints = Applying, c.prints
		if err := j.Save(e); err != nil {
			t.Fatal(err)
		}
		recovered, err := j.Recover(context.Background(), m.hands())
		if err != nil || len(recovered) != 1 {
			t.Errorf("%s: %v, %v", c.name, recovered, err)
		}
		if got := strings.Join(m.lines, ","); got != "x" {
			t.Errorf("%s: the host is %s", c.name, got)
		}
		if got := strings.Join(m.ran, "; "); got != c.ran {
			t.Errorf("%s: ran %q, want %q", c.name, got, c.ran)
		}
		if e, err := j.Load("1"); err != nil || e.State != Undone {
			t.Errorf("%s: %+v, %v", c.name, e, err)
		}
		if again, err := j.Recover(context.Background(), m.hands()); err != nil || len(again) != 0 {
			t.Errorf("%s: recovered twice: %v, %v", c.name, again, err)
		}
	}
}

// A way back that was killed goes on where it was.
func TestUndoGoesOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines string // as the crash has left it
		begun []string
		ran   string
		left  string
	}{
		{"nothing was begun", "x,a,b", nil, "remove b; remove a", "x"},
		{"the first was begun and not done", "x,a,b", []string{"x,a,b"}, "remove b; remove a", "x"},
		{"the first is done", "x,a", []string{"x,a,b"}, "remove a", "x"},
		{"the second was begun and not done", "x,a", []string{"x,a,b", "x,a"}, "remove a", "x"},
		{"both are done", "x", []string{"x,a,b", "x,a"}, "", "x"},
		{"others have changed the host as well", "x,y,a", []string{"x,y,a,b"}, "remove a", "x,y"},
	} {
		j := journal(t)
		m := machine{lines: strings.Split(c.lines, ",")}
		e := entry("1")
		e.State, e.Prints, e.Asked, e.Back, e.BackPrints = Undoing, []string{"x", "x,a"}, true, e.Undo, c.begun
		if err := j.Save(e); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Recover(context.Background(), m.hands()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := strings.Join(m.lines, ","); got != c.left {
			t.Errorf("%s: the host is %s, want %s", c.name, got, c.left)
		}
		if got := strings.Join(m.ran, "; "); got != c.ran {
			t.Errorf("%s: ran %q, want %q", c.name, got, c.ran)
		}
		if e, err := j.Load("1"); err != nil || e.State != Undone {
			t.Errorf("%s: %+v, %v", c.name, e, err)
		}
	}
}

// What doesn't show in the fingerprint is undone in any case.
// What was left half done is told, and undo takes it back, whatever was killed.
func TestLeft(t *testing.T) {
	if e := Left(filepath.Join(t.TempDir(), "none")); e != nil {
		t.Errorf("without a journal: %+v", e)
	}
	past, future := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	for _, c := range []struct {
		state    State
		deadline time.Time
		want     bool
	}{{Applying, future, true}, {Undoing, past, true}, {Unconfirmed, past, true}, {Unconfirmed, future, false}, {Done, past, false}, {Undone, past, false}, {Stuck, past, false}} {
		j := journal(t)
		e := entry("20261130-101112")
		e.State, e.Deadline, e.Prints = c.state, c.deadline, []string{"x"}
		if c.state == Undoing {
			e.Back = e.Undo[1:]
		}
		newer := entry("20261130-101113")
		newer.State = Done
		for _, e := range []*Entry{e, newer} {
			if err := j.Save(e); err != nil {
				t.Fatal(err)
			}
		}
		unlock, err := j.Lock(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if e := Left(j.dir); e != nil {
			t.Errorf("%s: somebody is at work on it, and it was told: %+v", c.state, e)
		}
		unlock()
		left := Left(j.dir)
		if (left != nil) != c.want || left != nil && left.ID != e.ID {
			t.Errorf("%s until %s: %+v", c.state, c.deadline, left)
		}
		if left == nil {
			continue
		}
		m := machine{lines: []string{"x", "a"}}
		if err := j.Undo(context.Background(), left, m.hands()); err != nil || strings.Join(m.lines, ",") != "x" {
			t.Errorf("%s: undone: %v, %v", c.state, m.lines, err)
		}
		if e := Left(j.dir); e != nil {
			t.Errorf("%s: it was undone and is told: %+v", c.state, e)
		}
	}
}

func TestLeftIsBounded(t *testing.T) {
	j := journal(t)
	e := entry("20261130-101112")
	e.State = Applying
	if err := j.Save(e); err != nil {
		t.Fatal(err)
	}
	for i := range lookedAt {
		if Left(j.dir) == nil {
			t.Errorf("not told after %d fixes", i)
		}
		if err := os.WriteFile(filepath.Join(j.dir, fmt.Sprintf("20261130-11111%d.json", i)), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if Left(j.dir) != nil {
		t.Error("more is read than was meant")
	}
	if err := os.Chmod(j.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(j.dir, "20261130-111110.json")); err != nil {
		t.Fatal(err)
	}
	if Left(j.dir) != nil {
		t.Error("a journal that others may write to is believed")
	}
}

func TestUndoFrom(t *testing.T) {
	e := &Entry{Commands: [][]string{{"iptables", "a"}, {"sysctl", "b"}, {"nft", "add", "rule"}}, Undo: [][]string{{"undo c"}, {"undo b"}, {"undo a"}}}
	for _, c := range []struct {
		prints string
		now    string
		want   string
	}{
		{"0", "0", ""},
		{"0", "1", "undo a"},
		{"0 1", "1", "undo b undo a"},
		{"0 1 1", "1", "undo b undo a"},
		{"0 1 1", "2", "undo c undo b undo a"},
		{"0 0 0", "0", "undo b undo a"},
	} {
		e.Prints = strings.Fields(c.prints)
		var got []string
		for _, argv := range e.undoFrom(c.now) {
			got = append(got, argv...)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s, now %s: %q, want %q", c.prints, c.now, got, c.want)
		}
	}
}

// Only one at a time; who waits too long is told so.
func TestLock(t *testing.T) {
	j := journal(t)
	unlock, err := j.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := j.Lock(ctx); !errors.Is(err, ErrBusy) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	again, err := j.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestLoad(t *testing.T) {
	j := journal(t)
	for _, id := range []string{"", "../x", "a/b", "1"} {
		if _, err := j.Load(id); !errors.Is(err, ErrNoEntry) {
			t.Errorf("Load(%q): %v", id, err)
		}
	}
	if err := j.Save(entry("1")); err != nil {
		t.Fatal(err)
	}
	e, err := j.Load("1")
	if err != nil || e.Predicted != "connected" {
		t.Errorf("%+v, %v", e, err)
	}
	if id, err := j.NewID(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)); err != nil || id != "20260102-030405" {
		t.Errorf("NewID: %s, %v", id, err)
	}
}

// Commands are found in the system's directories, never by a path.
func TestRun(t *testing.T) {
	ctx := context.Background()
	if err := Run(ctx, []string{"true"}, nil); err != nil {
		t.Error(err)
	}
	for _, argv := range [][]string{nil, {""}, {"./true"}, {"/bin/true"}, {"no-such-command-at-all"}, {"false"}} {
		if err := Run(ctx, argv, nil); err == nil {
			t.Errorf("%q ran", argv)
		}
	}
}
