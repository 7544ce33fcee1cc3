package fix_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portwhy/portwhy/agent/fix"
)

var (
	crashes = flag.Int("crashes", 10, "at how many system calls portwhy fix is killed; 0: at every one")
	seed    = flag.Int64("crash-seed", 1, "which ones")
)

const before = "table inet f {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 8080 drop\n\t}\n}\n"

// portwhy fix --apply is killed at a system call, whichever that is: then the
// host is as it was, or as it was to be, and the journal says which.
func TestKilledAnywhere(t *testing.T) {
	inNetNS(t, func(program string) {
		calls := apply(t, program, t.TempDir(), 0)
		if calls < 200 {
			t.Errorf("portwhy made %d system calls: too few to be true", calls)
		}
		random := rand.New(rand.NewSource(*seed))
		old, kept := 0, 0
		for n := 1; n <= calls; n++ {
			if *crashes > 0 && random.Intn(calls) >= *crashes {
				continue
			}
			dir := filepath.Join(t.TempDir(), "journal")
			apply(t, program, dir, n)
			switch state := settle(t, dir); {
			case rulesAre(t, before):
				old++
				if state == fix.Done {
					t.Errorf("killed at call %d: the host is as before, the journal says %s", n, state)
				}
			case state == fix.Done && strings.Count(listed(t), "portwhy-") == 1:
				kept++
			default:
				t.Errorf("killed at call %d: the journal says %q, the rules are\n%s", n, state, listed(t))
			}
			load(t)
		}
		t.Logf("of %d system calls: %d times as before, %d times mended", calls, old, kept)
		if old == 0 {
			t.Error("it was never killed in time")
		}
	})
}

// What nobody confirms ends as it was, and what is confirmed stays.
func TestUnconfirmed(t *testing.T) {
	inNetNS(t, func(program string) {
		dir := filepath.Join(t.TempDir(), "journal")
		run := func(args ...string) string {
			out, err := exec.Command(program, append(args, "--journal", dir)...).CombinedOutput()
			if err != nil {
				t.Errorf("portwhy %v: %v: %s", args, err, out)
			}
			return string(out)
		}
		run("fix", "127.0.0.1:8080", "--timeout", "300ms", "--apply", "1", "--yes", "--confirm-within", "1s")
		if rulesAre(t, before) {
			t.Error("the fix was not applied")
		}
		waitFor(t, "the roll-back", func() bool { return rulesAre(t, before) })
		if state := settle(t, dir); state != fix.Undone {
			t.Errorf("the journal says %s", state)
		}
		run("fix", "127.0.0.1:8080", "--timeout", "300ms", "--apply", "1", "--yes", "--confirm-within", "3s")
		id := last(t, dir).ID
		run("fix", "confirm", id)
		time.Sleep(4 * time.Second)
		if rulesAre(t, before) {
			t.Error("it was confirmed, and rolled back all the same")
		}
		run("fix", "undo", id)
		if !rulesAre(t, before) {
			t.Error("undone, and not as before")
		}
	})
}

// inNetNS runs f in a network namespace where a server listens behind a rule.
func inNetNS(t *testing.T, f func(program string)) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	for _, tool := range []string{"nft", "strace"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs", tool)
		}
	}
	program := filepath.Join(t.TempDir(), "portwhy")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/portwhy").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the namespace goes with the thread
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			t.Errorf("make a network namespace: %v", err)
			return
		}
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Errorf("lo: %v: %s", err, out)
			return
		}
		l, err := net.Listen("tcp", "127.0.0.1:8080")
		if err != nil {
			t.Error(err)
			return
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
		load(t)
		f(program)
	}()
	<-done
}

func load(t *testing.T) {
	c := exec.Command("nft", "-f", "-")
	c.Stdin = strings.NewReader("flush ruleset\n" + before)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("load the rules: %v: %s", err, out)
	}
}

func listed(t *testing.T) string {
	out, err := exec.Command("nft", "list", "ruleset").Output()
	if err != nil {
		t.Errorf("list the rules: %v", err)
	}
	return string(out)
}

func rulesAre(t *testing.T, want string) bool { return listed(t) == want }

// apply runs portwhy and kills it at a system call of one of its threads; 0: lets
// it end, and returns how many calls its busiest thread made.
func apply(t *testing.T, program, dir string, kill int) int {
	trace := filepath.Join(t.TempDir(), "trace")
	args := []string{"-f", "-qq", "--detach-on=execve", "-o", trace}
	if kill > 0 {
		args = append(args, "-e", fmt.Sprintf("inject=all:signal=SIGKILL:when=%d", kill))
	}
	// The words that follow are ours alone, no outside data.
	args = append(args, program, "fix", "127.0.0.1:8080", "--timeout", "200ms", "--apply", "1", "--yes", "--journal", dir)
	out, err := exec.Command("strace", args...).CombinedOutput()
	if kill > 0 {
		return 0
	}
	if err != nil {
		t.Errorf("portwhy fix: %v: %s", err, out)
		return 0
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Error(err)
		return 0
	}
	calls, most := map[string]int{}, 0
	for line := range bytes.Lines(text) {
		thread, call, _ := strings.Cut(string(line), " ")
		if !strings.Contains(call, "resumed>") && !strings.Contains(call, "+++") && !strings.Contains(call, "---") {
			calls[thread]++
			most = max(most, calls[thread])
		}
	}
	load(t)
	return most
}

// settle waits until no guard is at work, and returns what the journal says.
func settle(t *testing.T, dir string) fix.State {
	waitFor(t, "the guard", func() bool {
		e := last(t, dir)
		return e == nil || !e.Open() || len(e.Prints) == 0 && rulesAre(t, before)
	})
	if e := last(t, dir); e != nil {
		return e.State
	}
	return ""
}

func last(t *testing.T, dir string) *fix.Entry {
	if _, err := os.Stat(dir); err != nil {
		return nil // it was killed before it made the journal
	}
	j, err := fix.OpenJournal(dir)
	if err != nil {
		t.Error(err)
		return nil
	}
	list, err := j.List()
	if err != nil {
		t.Error(err)
	}
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

func waitFor(t *testing.T, what string, ok func() bool) {
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("waited in vain for %s", what)
			return
		}
	}
}
