package fix_test

import (
	"flag"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/agent/fix"
)

var (
	crashes = flag.Int("crashes", 6, "how many of the system calls that only portwhy itself notices it is killed at as well; 0: at every one")
	seed    = flag.Int64("crash-seed", 1, "which ones")
	shards  = flag.Int("crash-shards", 1, "how many sets of namespaces share the work")
)

// Two tables reject the port, so that the fix has two commands, and a half of it
// would show.
const (
	before = "table inet f {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 8080 reject\n\t}\n}\n" +
		"table inet g {\n\tchain in {\n\t\ttype filter hook input priority filter + 10; policy accept;\n\t\ttcp dport 8080 reject\n\t}\n}\n"
	target = "127.0.0.1:8080"
)

// parts are the tests that need namespaces of their own.
var parts = []struct {
	name string
	run  func(t *testing.T, program string, mine func(int) bool)
}{{"apply", killApply}, {"guard", killGuard}, {"undo", killUndo}, {"unconfirmed", unconfirmed}}

// inside says to this program which part it is, and that it has its namespaces.
const inside = "PORTWHY_CRASH_TEST"

// Each part runs in several sets of namespaces at a time, with a server behind a
// rule and with few processes, so that there is little to look at.
func TestKilledAnywhere(t *testing.T) {
	if of := os.Getenv(inside); of != "" {
		var part, shard, all int
		var program string
		if _, err := fmt.Sscan(of, &part, &shard, &all, &program); err != nil {
			t.Fatal(err)
		}
		serve(t)
		load(t)
		parts[part].run(t, program, func(n int) bool { return n%all == shard })
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to make namespaces")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	program := filepath.Join(t.TempDir(), "portwhy")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/portwhy").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	t.Run("parts", func(t *testing.T) {
		for i, part := range parts {
			all := *shards
			if part.name == "unconfirmed" {
				all = 1
			}
			for shard := range all {
				t.Run(fmt.Sprint(part.name, shard), func(t *testing.T) {
					t.Parallel()
					// A shell as the first process takes leave of orphans.
					cmd := exec.CommandContext(t.Context(), "unshare", "-mpfnC", "--propagation", "private", "--kill-child", "--", "sh", "-c",
						`mount -t proc proc /proc && ip link set lo up && "$@" & wait $!`, "sh", os.Args[0], "-test.run=^TestKilledAnywhere$", "-test.v", "-test.timeout=0",
						"-crashes="+strconv.Itoa(*crashes), "-crash-seed="+strconv.FormatInt(*seed, 10))
					cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %d %s", inside, i, shard, all, program))
					out, err := cmd.CombinedOutput()
					if err != nil {
						t.Errorf("%v: %s", err, out)
					}
					for line := range strings.Lines(string(out)) {
						if strings.Contains(line, "system calls") {
							t.Log(strings.TrimSpace(line))
						}
					}
				})
			}
		}
	})
}

// portwhy fix --apply is killed right before each system call that anything outside
// of it can notice: files that are made, written, synced, renamed, locked; what is
// sent; processes, pipes, signals. (What it sends by netlink are questions.) Then
// the host is as it was, or as it was to be, and the journal says which.
//
// Between two such calls nothing outside can tell where it is, so that being killed
// there is the same as being killed at the next one, but for how far a command has
// come that runs at that time. Therefore it is killed at some of the other calls,
// too, drawn at random; with -crashes 0 at every call it makes.
func killApply(t *testing.T, program string, mine func(int) bool) {
	host, tally := "", map[string]int{}
	sweep(t, mine, func(k *killer) {
		dir := filepath.Join(t.TempDir(), "journal")
		k.argv = []string{program, "fix", target, "--timeout", "2s", "--apply", "1", "--yes", "--journal", dir}
		run(t, k)
		idle(t, program)
		state := fix.State("not begun")
		if e := last(t, dir); e != nil {
			state = e.State
		}
		switch {
		case rulesAre(t, before):
			host = "as before"
			if state == fix.Done {
				t.Errorf("%s: the host is as before, the journal says %s", k, state)
			}
		case state == fix.Done && mended(t):
			host = "mended"
		default:
			t.Errorf("%s: the journal says %q, the rules are\n%s", k, state, listed(t))
		}
		tally[host]++
	})
	t.Logf("after so many system calls the host was: %v", tally)
	if tally["as before"] == 0 {
		t.Error("it was never killed in time")
	}
}

// The guard, the last that watches, is killed while it rolls back what nobody has
// confirmed: then whoever comes next ends it. Until then a half of the fix may
// stand.
func killGuard(t *testing.T, program string, mine func(int) bool) {
	sweep(t, mine, func(k *killer) {
		dir, id := applied(t, program)
		j, err := fix.OpenJournal(dir)
		if err != nil {
			t.Fatal(err)
		}
		e := last(t, dir)
		e.State, e.Deadline = fix.Unconfirmed, time.Now().Add(-time.Second)
		if err := j.Save(e); err != nil {
			t.Fatal(err)
		}
		k.argv = []string{program, "fix", "guard", id, "--journal", dir}
		run(t, k)
		idle(t, program)
		if out, err := exec.Command(program, "fix", "guard", id, "--journal", dir).CombinedOutput(); err != nil {
			t.Errorf("%s: the next guard: %v: %s", k, err, out)
		}
		if e := last(t, dir); e.State != fix.Undone || !rulesAre(t, before) {
			t.Errorf("%s: the journal says %s, the rules are\n%s", k, e.State, listed(t))
		}
	})
}

// portwhy fix undo is killed: the fix stays or is taken back, never a half. The
// guard that it started goes on; if it was killed before, whoever comes next does.
func killUndo(t *testing.T, program string, mine func(int) bool) {
	sweep(t, mine, func(k *killer) {
		dir, id := applied(t, program)
		k.argv = []string{program, "fix", "undo", id, "--journal", dir}
		run(t, k)
		idle(t, program)
		whole(t, k)
		e := last(t, dir)
		switch undone := rulesAre(t, before); {
		case undone && e.State == fix.Undone, !undone && e.State == fix.Done:
		case !undone && e.State == fix.Undoing && len(e.BackPrints) == 0:
			if out, err := exec.Command(program, "fix", "undo", id, "--journal", dir).CombinedOutput(); err != nil || !rulesAre(t, before) {
				t.Errorf("%s: undone again: %v: %s", k, err, out)
			}
		default:
			t.Errorf("%s: the journal says %s, the rules are\n%s", k, e.State, listed(t))
		}
	})
}

// What nobody confirms ends as it was, and what is confirmed stays.
func unconfirmed(t *testing.T, program string, _ func(int) bool) {
	dir := filepath.Join(t.TempDir(), "journal")
	run := func(args ...string) {
		out, err := exec.Command(program, append(args, "--journal", dir)...).CombinedOutput()
		if err != nil {
			t.Errorf("portwhy %v: %v: %s", args, err, out)
		}
	}
	run("fix", target, "--timeout", "2s", "--apply", "1", "--yes", "--confirm-within", "1s")
	if rulesAre(t, before) {
		t.Error("the fix was not applied")
	}
	idle(t, program)
	if e := last(t, dir); e.State != fix.Undone || !rulesAre(t, before) {
		t.Errorf("the journal says %s, the rules are\n%s", e.State, listed(t))
	}
	run("fix", target, "--timeout", "2s", "--apply", "1", "--yes", "--confirm-within", "2s")
	id := last(t, dir).ID
	run("fix", "confirm", id)
	time.Sleep(3 * time.Second)
	if rulesAre(t, before) {
		t.Error("it was confirmed, and rolled back all the same")
	}
	run("fix", "undo", id)
	if !rulesAre(t, before) {
		t.Error("undone, and not as before")
	}
}

// sweep runs once for each call to be killed at, as far as it is this shard's.
func sweep(t *testing.T, mine func(int) bool, once func(*killer)) {
	kills := 0
	kill := func(k *killer) bool {
		once(k)
		load(t)
		if k.killed {
			kills++
		}
		return k.killed
	}
	all := killer{every: true}
	kill(&all)
	var others func(n int) bool
	if *crashes == 0 {
		others = mine
	} else {
		for n, missed := 1, 0; missed < 3 && !t.Failed(); n++ { // its threads' order varies a little
			if mine(n) && !kill(&killer{at: n}) {
				missed++
			}
		}
		random, drawn := rand.New(rand.NewSource(*seed)), map[int]bool{}
		for range *crashes {
			drawn[1+random.Intn(all.calls)] = true
		}
		others = func(n int) bool { return drawn[n] && mine(n) }
	}
	for n := 1; n <= all.calls && !t.Failed(); n++ {
		if others(n) {
			kill(&killer{every: true, at: n})
		}
	}
	t.Logf("killed at %d system calls; it makes %d", kills, all.calls)
}

// run runs a program that is to be killed.
func run(t *testing.T, k *killer) {
	t.Helper()
	if err := k.run(); err != nil {
		t.Fatal(err)
	}
}

// applied applies the fix, and waits until its guard has gone.
func applied(t *testing.T, program string) (dir, id string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "journal")
	if out, err := exec.Command(program, "fix", target, "--timeout", "2s", "--apply", "1", "--yes", "--journal", dir).CombinedOutput(); err != nil {
		t.Fatalf("portwhy fix: %v: %s", err, out)
	}
	idle(t, program)
	return dir, last(t, dir).ID
}

// whole sees that the host is as before, or mended.
func whole(t *testing.T, k *killer) {
	t.Helper()
	if !rulesAre(t, before) && !mended(t) {
		t.Errorf("%s: the rules are\n%s", k, listed(t))
	}
}

// idle waits until no portwhy runs, and no command of one.
func idle(t *testing.T, program string) {
	t.Helper()
	waitFor(t, "the guard", func() bool {
		all, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range all {
			if exe, err := os.Readlink(link); err == nil && (exe == program || filepath.Base(exe) == "nft") {
				return false
			}
		}
		return true
	})
}

func serve(t *testing.T) {
	l, err := net.Listen("tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
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

// mended reports whether all commands of the fix were run.
func mended(t *testing.T) bool { return strings.Count(listed(t), "portwhy-") == 2 }

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
