package fix

import (
	"context"
	"os/exec"
	"strconv"
	"testing"
)

// A signal that comes too late for some, as a worker has ended with its master, is
// no failure: the others have got it.
func TestSignalToWhatHasEnded(t *testing.T) {
	start := func() *exec.Cmd {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd
	}
	pid := func(cmd *exec.Cmd) string { return strconv.Itoa(cmd.Process.Pid) }
	gone := start()
	_ = gone.Process.Kill()
	_ = gone.Wait()
	for _, argv := range [][]string{{"kill", pid(gone)}, {"kill", "-CONT", pid(gone)}} {
		if err := Run(context.Background(), argv, nil); err != nil {
			t.Errorf("%q: %v", argv, err)
		}
	}
	other := start()
	if err := Run(context.Background(), []string{"kill", pid(gone), pid(other)}, nil); err != nil {
		t.Error(err)
	}
	if err := other.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the one that lives: %v", err)
	}
	for _, argv := range [][]string{{"kill", "-NOSIGNAL", pid(start())}, {"kill", pid(gone), "x"}, {"kill", "0x"}, {"false"}} {
		if err := Run(context.Background(), argv, nil); err == nil {
			t.Errorf("%q is no failure", argv)
		}
	}
}
