//go:build linux

package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const data = "../../testdata/scenarios"

var (
	update = flag.Bool("update", false, "rewrite the table of scenarios")
	strict = flag.Bool("strict", false, "fail where a scenario can't run here, instead of skipping it")
)

// TestMain becomes root in a user namespace if the caller isn't root, and runs
// more scenarios at once than there are CPUs: most of their time is waiting.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() != 0 && os.Getenv(markerName) == "" {
		os.Exit(again())
	}
	parallel := flag.Lookup("test.parallel")
	if parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = parallel.Value.Set(strconv.Itoa(4 * runtime.GOMAXPROCS(0)))
	}
	os.Exit(m.Run())
}

// again runs this test in a user namespace, as unshare -Ur does.
func again() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), markerName+"=userns")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}}
	runtime.LockOSThread() // Pdeathsig is tied to this thread
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Println("SKIP: the lab needs root or user namespaces:", err)
		return 0
	}
	return cmd.ProcessState.ExitCode()
}

func TestLab(t *testing.T) {
	all, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := New(ctx, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, leak := range l.Leaks() {
			t.Errorf("left behind: %s", leak)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range all {
			t.Run(s.Group+"/"+s.Slug, func(t *testing.T) {
				t.Parallel()
				if err := l.missing(s); err != nil {
					if *strict {
						t.Fatalf("needs %v", err)
					}
					t.Skipf("needs %v", err)
				}
				runScenario(ctx, t, l, s)
			})
		}
	})
}

func runScenario(ctx context.Context, t *testing.T, l *Lab, s *Scenario) {
	if ctx.Err() != nil {
		t.Skip("interrupted")
	}
	started := time.Now()
	wrong, log := l.Run(ctx, s)
	if len(wrong) > 0 {
		t.Errorf("%s\n%s", strings.Join(wrong, "\n"), log)
	} else if testing.Verbose() {
		t.Logf("%v\n%s", time.Since(started).Round(time.Millisecond), log)
	}
}

// A scenario that goes wrong in the middle leaves nothing behind either.
func TestLeavesNothing(t *testing.T) {
	l, err := New(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := Parse("test", "broken", `# It stops halfway, with daemons, stopped processes, mounts and namespaces about
host here
start here one sleep 1000
start here two sleep 1000
run here kill -STOP $two
run here sh -c 'setsid sleep 1000 & mkdir /run/m && mount -t tmpfs t /run/m && ip netns add blue'
run here false
ask here 80
  status ok
`)
	if err != nil {
		t.Fatal(err)
	}
	wrong, log := l.Run(t.Context(), s)
	if len(wrong) != 1 || !strings.Contains(wrong[0], "line 7: here$ false: exit status 1") {
		t.Errorf("want the failed command alone, got %q\n%s", wrong, log)
	}
	for _, leak := range l.Leaks() {
		t.Errorf("left behind: %s", leak)
	}
	if _, err := os.Stat(l.tmp + "/test-broken"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the scenario's directory is still there: %v", err)
	}
}

// The tables in the README are those of the scenarios, and each code that can be
// reported has a scenario.
func TestTable(t *testing.T) {
	all, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	const file = data + "/README.md"
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Replace(string(have), Table(all))
	if err != nil {
		t.Fatal(err)
	}
	reported, err := Reported("../../diagnose")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range Unshown(all, reported) {
		t.Error(wrong)
	}
	if want, err = Replace(want, CodeTable(all, reported)); err != nil {
		t.Fatal(err)
	}
	if want == string(have) {
		return
	}
	if !*update {
		t.Fatal("the table of scenarios is stale: go test ./agent/lab -run TestTable -update")
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every program that a scenario starts comes with a package of packages.txt, or
// with any Debian.
func TestPackages(t *testing.T) {
	text, err := os.ReadFile(data + "/packages.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(text))
	base := []string{"sh", "sed", "grep", "mkdir", "chmod", "touch", "ln", "test", "sleep", "false", "kill", "fault", "portwhy"}
	all, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, step := range s.Steps {
			if step.Verb != "run" && step.Verb != "start" || strings.HasPrefix(step.Args[0], "/etc/") {
				continue
			}
			name := filepath.Base(step.Args[0])
			if pkg := packageOf(name); !slices.Contains(base, name) && !slices.Contains(listed, pkg) {
				t.Errorf("%s/%s runs %s, whose package %s is not in packages.txt", s.Group, s.Slug, name, pkg)
			}
		}
	}
}
