package cli

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// A signal is for the process that was diagnosed, never for another that has its
// number now, and none is sent where it can't be told.
func TestSignalIsForTheProcessThatWasMeant(t *testing.T) {
	s := &session{Program: New(""), log: zerolog.Nop()}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	for _, c := range []struct {
		argv []string
		made time.Time
		want string // of the error; empty: it may
	}{
		{[]string{"kill", "-CONT", pid}, time.Now().Add(time.Second), ""},
		{[]string{"kill", pid}, time.Now().Add(-time.Hour), "is another one now: sleep"},
		{[]string{"kill", "-CONT", "x"}, time.Now(), "which process"},
		{[]string{"nft", "-f", pid}, time.Now().Add(-time.Hour), ""},
	} {
		if err := s.meant(t.Context(), c.argv, c.made); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.argv, err, c.want)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := s.meant(t.Context(), []string{"kill", pid}, time.Now()); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("an ended process: %v", err)
	}
}

// What was planned for one state of the host isn't done to another: the rules, a
// setting, or the process that a signal is for has changed.
func TestFingerprintNoticesChanges(t *testing.T) {
	s := &session{Program: New(""), log: zerolog.Nop()}
	h, err := s.live()
	if err != nil {
		t.Fatal(err)
	}
	print := func(pid int) string {
		return watched(t.Context(), h, []string{"kill", "-CONT", strconv.Itoa(pid)})
	}
	var pids []int
	for range 2 {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		pids = append(pids, cmd.Process.Pid)
		time.Sleep(20 * time.Millisecond) // a tick of the clock that starts are told by
	}
	first, second := print(pids[0]), print(pids[1])
	// Without the number itself: as if it had been given anew.
	if strings.TrimPrefix(first, strconv.Itoa(pids[0])) == strings.TrimPrefix(second, strconv.Itoa(pids[1])) {
		t.Errorf("two processes look alike: %q, %q", first, second)
	}
	if again := print(pids[0]); again != first {
		t.Errorf("the same process looks different: %q, %q", first, again)
	}
}
