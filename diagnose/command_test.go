package diagnose

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// No name from outside becomes an option, a command of nft's, or the program.
func TestNamesInCommands(t *testing.T) {
	for _, c := range []struct {
		argv  []string
		taken bool
	}{
		{[]string{"systemctl", "stop", "nginx.service"}, true},
		{[]string{"systemctl", "stop", "--host=evil.service"}, false},
		{[]string{"systemctl", "stop", "-H.service"}, false},
		{[]string{"systemctl", "--user", "--machine=me@.host", "stop", "a.service"}, true},
		{[]string{"docker", "stop", "web"}, true},
		{[]string{"docker", "stop", "--all"}, false},
		{[]string{"docker", "stop", ""}, false},
		{[]string{"/tmp/evil/docker", "stop", "web"}, false},
		{[]string{"sh", "-c", "reboot"}, false},
		{[]string{"rm", "--", "-rf"}, true},
		{[]string{"rm", "-rf"}, false},
		{[]string{"kill", "-CONT", "17"}, true},
		{[]string{"kill", "-1"}, false},
		{[]string{"ip", "link", "set", "-batch", "up"}, false},
		{[]string{"nft", "insert", "rule", "inet", "filter", "input", "handle", "4", "accept"}, true},
		{[]string{"nft", "insert", "rule", "inet", "filter", "a-b.c/d_e", "accept"}, true},
		{[]string{"nft", "insert", "rule", "inet", "x; flush ruleset;", "input", "accept"}, false},
		{[]string{"nft", "insert", "rule", "inet", "x", "input\nflush ruleset", "accept"}, false},
		{[]string{"nft", "insert", "rule", "inet", "-f", "/tmp/evil", "accept"}, false},
		{[]string{"nft", "delete", "element", "inet", "x", "y }; flush ruleset", "{ 1.2.3.4 }"}, false},
		{[]string{"nft", "delete", "element", "inet", "x", "y", "{ 1.2.3.4 timeout 60s }"}, true},
		{[]string{"nft", "delete", "element", "inet", "x", "y", "{ 1.2.3.4 }; flush ruleset }"}, false},
		{[]string{"portwhy", "fix", "remove-rule", "inet", "x; flush ruleset", "input", "portwhy-1"}, false},
		{[]string{"nsenter", "--net=/proc/7/ns/net", "nft", "insert", "rule", "inet", "x;y", "input", "accept"}, false},
		{[]string{"nsenter", "--net=/proc/7/ns/net", "iptables", "-w", "5", "-I", "INPUT", "1", "-j", "ACCEPT"}, true},
		{[]string{"firewall-cmd", "--permanent", "--zone=public", "--add-port=80/tcp"}, true},
	} {
		f := Fix{Title: "mend it", Commands: [][]string{{"kill", "7"}}, Undo: [][]string{c.argv}}.Guarded()
		if (len(f.Commands) == 1) != c.taken || (len(f.Undo) == 1) != c.taken || strings.HasSuffix(f.Title, "something else") == c.taken {
			t.Errorf("%q: %+v, want taken: %v", c.argv, f, c.taken)
		}
	}
}

// Every cause that a check reports goes through it.
func TestStopGuardsFixes(t *testing.T) {
	p := &Pass{Flow: &Flow{}, check: &Check{}, result: CheckResult{}}
	p.Stop(Cause{Code: "port-in-use", Fixes: []Fix{{Commands: [][]string{{"systemctl", "stop", "--now.service"}}}}})
	if got := p.Stopped()[0].Fixes[0].Commands; got != nil {
		t.Errorf("the fix runs %q", got)
	}
}

// The lists have all programs and options that stand in the code of fixes: what is
// missing would take the commands of a fix that is right.
func TestListsOfCommandsAreWhole(t *testing.T) {
	command := regexp.MustCompile(`\[\]string\{\{?"[a-z][a-z0-9-]*".*|slices\.Concat\(\[\]string\{".*`)
	first := regexp.MustCompile(`(?:\[\]\[\]string\{|, )\{"([a-z][a-z0-9-]*)"`)
	option := regexp.MustCompile(`"(-{1,2}[A-Za-z][A-Za-z-]*=?)"`)
	seen := 0
	for _, dir := range []string{"checks", "owner", "preflight"} {
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := fs.ReadFile(os.DirFS(dir), name)
			for line := range strings.Lines(string(text)) {
				if !strings.Contains(line, "Commands") && !strings.Contains(line, "Undo") && !strings.Contains(line, "command") {
					continue
				}
				for _, m := range first.FindAllStringSubmatch(line, -1) {
					seen++
					if !slices.Contains(started, m[1]) {
						t.Errorf("%s/%s starts %s", dir, name, m[1])
					}
				}
				if strings.Contains(line, "words") || !command.MatchString(line) {
					continue
				}
				for _, m := range option.FindAllStringSubmatch(line, -1) {
					if seen++; !known(m[1]) && !strings.Contains(line, "slices.Concat(in") && !strings.Contains(line, "tool") {
						t.Errorf("%s/%s has the option %s: %s", dir, name, m[1], line)
					}
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 50 {
		t.Errorf("only %d programs and options found", seen)
	}
}
