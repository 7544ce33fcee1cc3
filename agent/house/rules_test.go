package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/diagnose/cause"
)

const module = "github.com/portwhy/portwhy/"

// maxLines is the length above which a file holds more than one thing.
const maxLines = 500

// rule looks at one file and says what breaks it.
type rule struct {
	name, why string
	check     func(source) []string
}

var rules = []rule{
	{"imports point down", "agent knows diagnose, diagnose knows platform's interface, platform knows rules, and none knows who stands above it: " +
		"so each floor can be read, tested and replaced by itself", importsPointDown},
	{"the engine is pure", "diagnose and platform/host ask everything through the host interface, so that a recording gives the same answer as the live host", pure},
	{"one place picks the adapter", "only platform/open_GOOS.go knows which adapter fits; whoever else imports one works on one system only", oneOpener},
	{"names say what is inside", "a package called util, common or helpers collects what nobody wanted to name", plainNames},
	{"files are short", fmt.Sprintf("a file of more than %d lines holds more than one thing; split it by what the parts are about", maxLines), shortFiles},
	{"no shell", "a shell gives a meaning to characters in names that others chose; programs are started by argument vectors", noShell},
	{"no CSV", "a cell that begins with =, +, - or @ is a formula to who opens the file; whoever writes such a file has to see to that first", noCSV},
	{"no cgo", "the program is one static binary for any distribution", noCgo},
	{"no init", "what an import does unasked can't be seen, ordered or left out by who imports it", noInit},
	{"nothing is compiled at the start", "each call of the program would pay for a pattern that most never use: compile it where it is used, or by sync.OnceValue", noPatternAtStart},
	{"no global state", "state in a package variable is shared by everyone who imports it, tests included; pass it instead", noGlobalState},
	{"nothing unfinished", "a note to do something later is an issue, not a comment", noLater},
	{"codes are in the catalogue", "scripts rely on the closed list of codes, and each code has its page", knownCodes},
}

func (s source) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", s.name, s.set.Position(pos).Line) + fmt.Sprintf(format, args...)
}

// imported calls f for each import, by its path.
func (s source) imported(f func(path string, pos token.Pos)) {
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			f(p, spec.Pos())
		}
	}
}

var floors = []string{"rules", "platform", "diagnose", "agent"}

// importsPointDown lets tests of the engine use a recording, or compare what is
// predicted with the real kernel.
func importsPointDown(s source) (broken []string) {
	s.imported(func(p string, pos token.Pos) {
		own, ours := strings.CutPrefix(p, module)
		if !ours {
			return
		}
		floor, _, _ := strings.Cut(own, "/")
		switch {
		case slices.Index(floors, floor) > slices.Index(floors, s.floor()):
			broken = append(broken, s.at(pos, "%s imports %s, which stands above it", s.dir(), own))
		case s.dir() == "platform/host" && own != "rules":
			broken = append(broken, s.at(pos, "platform/host imports %s: the values and the interface need nothing of ours but the model of rules", own))
		case s.floor() == "diagnose" && floor == "platform" && own != "platform/host" && !s.test():
			broken = append(broken, s.at(pos, "%s imports %s; of platform it may know platform/host only", s.dir(), own))
		}
	})
	return broken
}

// outside are the packages by which a program touches the system, and net's
// parts that don't.
var (
	outside = []string{"os", "net", "syscall", "unsafe", "plugin", "path/filepath", "runtime", "golang.org/x/sys", "golang.org/x/net",
		"github.com/vishvananda", "github.com/cilium", "github.com/shirou", "github.com/coreos", "github.com/godbus", "github.com/moby",
		"github.com/spf13", "github.com/rs/zerolog", "log", "flag", "embed"}
	harmless = []string{"net/netip", "net/url", "net/mail"}
)

func pure(s source) (broken []string) {
	if s.test() || s.dir() != "platform/host" && s.floor() != "diagnose" && s.floor() != "rules" {
		return nil
	}
	s.imported(func(p string, pos token.Pos) {
		if slices.Contains(harmless, p) {
			return
		}
		for _, o := range outside {
			if p == o || strings.HasPrefix(p, o+"/") {
				broken = append(broken, s.at(pos, "%s imports %s", s.dir(), p))
			}
		}
	})
	return broken
}

var adapters = []string{"linux", "darwin", "windows"}

func oneOpener(s source) (broken []string) {
	if s.test() || s.dir() == "platform" {
		return nil
	}
	s.imported(func(p string, pos token.Pos) {
		for _, a := range adapters {
			room := "platform/" + a
			if (p == module+room || strings.HasPrefix(p, module+room+"/")) && s.dir() != room && !strings.HasPrefix(s.dir(), room+"/") {
				broken = append(broken, s.at(pos, "%s imports the adapter for %s", s.dir(), a))
			}
		}
	})
	return broken
}

var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "lib", "tools", "stuff", "core"}

func plainNames(s source) (broken []string) {
	for _, name := range []string{s.file.Name.Name, strings.TrimSuffix(strings.TrimSuffix(path.Base(s.name), ".go"), "_test")} {
		if slices.Contains(vague, name) {
			broken = append(broken, fmt.Sprintf("%s: the name %s says nothing", s.name, name))
		}
	}
	return broken
}

// tableMark at the beginning of a comment says that a file is one table, and why.
const tableMark = "// Table: "

func shortFiles(s source) []string {
	if s.test() || s.lines <= maxLines {
		return nil
	}
	for _, g := range s.file.Comments {
		if strings.HasPrefix(g.List[0].Text, tableMark) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s has %d lines", s.name, s.lines)}
}

var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "csh", "cmd", "cmd.exe", "powershell", "powershell.exe", "pwsh", "su", "env", "xargs"}

// noShell looks at what is given to exec.Command, exec.CommandContext and an
// exec.Cmd. Tests may ask a real shell whether our quoting is right.
func noShell(s source) (broken []string) {
	if s.test() {
		return nil
	}
	isExec := func(e ast.Expr, names ...string) bool {
		sel, ok := e.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		pkg, ok := sel.X.(*ast.Ident)
		return ok && pkg.Name == "exec" && slices.Contains(names, sel.Sel.Name)
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		var words []ast.Expr
		switch n := n.(type) {
		case *ast.CallExpr:
			if isExec(n.Fun, "Command", "CommandContext", "LookPath") {
				words = n.Args
			}
		case *ast.CompositeLit:
			if isExec(n.Type, "Cmd") {
				words = n.Elts
			}
		}
		for _, w := range words {
			ast.Inspect(w, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if word, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(shells, path.Base(word)) {
						broken = append(broken, s.at(lit.Pos(), "starts %s", word))
					}
				}
				return true
			})
		}
		return true
	})
	return broken
}

// noCSV lets tests read what other tools write.
func noCSV(s source) (broken []string) {
	s.imported(func(p string, pos token.Pos) {
		if p == "encoding/csv" && !s.test() {
			broken = append(broken, s.at(pos, "imports encoding/csv"))
		}
	})
	return broken
}

func noCgo(s source) (broken []string) {
	s.imported(func(p string, pos token.Pos) {
		if p == "C" {
			broken = append(broken, s.at(pos, "imports C"))
		}
	})
	return broken
}

// noInit allows one thing: to keep the main thread, which only an init function
// can (see runtime.LockOSThread).
func noInit(s source) (broken []string) {
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "init" || f.Recv != nil {
			continue
		}
		if len(f.Body.List) == 1 && s.file.Name.Name == "main" {
			if e, ok := f.Body.List[0].(*ast.ExprStmt); ok {
				if call, ok := e.X.(*ast.CallExpr); ok {
					if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "LockOSThread" {
						continue
					}
				}
			}
		}
		broken = append(broken, s.at(f.Pos(), "has an init function"))
	}
	return broken
}

// noPatternAtStart finds package variables that are patterns. The lab is no part of
// the program, and rules stands by itself.
func noPatternAtStart(s source) (broken []string) {
	if s.test() || s.dir() == "agent/lab" || s.floor() == "rules" {
		return nil
	}
	for _, d := range s.file.Decls {
		if g, ok := d.(*ast.GenDecl); !ok || g.Tok != token.VAR {
			continue
		}
		ast.Inspect(d, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "MustCompile" {
				broken = append(broken, s.at(sel.Pos(), "compiles a pattern when the program starts"))
			}
			_, later := n.(*ast.FuncLit)
			return !later
		})
	}
	return broken
}

// noGlobalState finds package variables of sync's and atomic's types, empty
// maps and channels: they are there to be changed. Tests may count in them.
func noGlobalState(s source) (broken []string) {
	if s.test() {
		return nil
	}
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			for _, e := range append([]ast.Expr{v.Type}, v.Values...) {
				if mutable(e) {
					broken = append(broken, s.at(v.Pos(), "keeps state in %s", v.Names[0].Name))
				}
			}
		}
	}
	return broken
}

func mutable(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.StarExpr:
		return mutable(e.X)
	case *ast.UnaryExpr:
		return mutable(e.X)
	case *ast.IndexExpr: // atomic.Pointer[T]
		return mutable(e.X)
	case *ast.ChanType:
		return true
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		return ok && (pkg.Name == "sync" || pkg.Name == "atomic") && !strings.HasPrefix(e.Sel.Name, "OnceValue")
	case *ast.CompositeLit:
		if _, ok := e.Type.(*ast.MapType); ok {
			return len(e.Elts) == 0
		}
		return mutable(e.Type)
	case *ast.CallExpr:
		name, ok := e.Fun.(*ast.Ident)
		if ok && name.Name == "make" && len(e.Args) > 0 {
			return true
		}
	}
	return false
}

var later = []string{"TO" + "DO", "FIX" + "ME", "HA" + "CK", "XX" + "X", "not yet implemented", "unimplemented"}

func noLater(s source) (broken []string) {
	for _, g := range s.file.Comments {
		for _, c := range g.List {
			for _, word := range later {
				if strings.Contains(c.Text, word) {
					broken = append(broken, s.at(c.Pos(), "says %s", word))
				}
			}
		}
	}
	return broken
}

// knownCodes looks at every literal that stands for a code in a check: a field
// Code, and the elements of a field Codes.
func knownCodes(s source) (broken []string) {
	if s.dir() != "diagnose/checks" || s.test() {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, ok := kv.Key.(*ast.Ident)
		if !ok || key.Name != "Code" && key.Name != "Codes" {
			return true
		}
		ast.Inspect(kv.Value, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			code, err := strconv.Unquote(lit.Value)
			if err != nil {
				return true
			}
			if _, known := cause.Find(code); !known {
				broken = append(broken, s.at(lit.Pos(), "names the code %q; near: %q", code, cause.Near(code)))
			}
			return true
		})
		return true
	})
	return broken
}

// TestRulesBite gives each rule a file that breaks it and one that doesn't: a
// rule that finds nothing anywhere would be a rule in name only.
func TestRulesBite(t *testing.T) {
	long := "package p\n" + strings.Repeat("\n", maxLines)
	for _, c := range []struct {
		rule, name, text string
		broken           int
	}{
		{"imports point down", "platform/linux/a.go", `package linux; import _ "github.com/portwhy/portwhy/diagnose"`, 1},
		{"imports point down", "rules/a.go", `package rules; import _ "github.com/portwhy/portwhy/platform/host"`, 1},
		{"imports point down", "diagnose/a.go", `package diagnose; import _ "github.com/portwhy/portwhy/platform/linux"`, 1},
		{"imports point down", "diagnose/a.go", `package diagnose; import _ "github.com/portwhy/portwhy/platform/replay"`, 1},
		{"imports point down", "diagnose/a_test.go", `package diagnose; import _ "github.com/portwhy/portwhy/platform/replay"`, 0},
		{"imports point down", "diagnose/a.go", `package diagnose; import ("os"; _ "github.com/portwhy/portwhy/platform/host")`, 0},
		{"imports point down", "platform/host/a.go", `package host; import _ "github.com/portwhy/portwhy/rules/eval"`, 1},
		{"imports point down", "agent/cli/a.go", `package cli; import _ "github.com/portwhy/portwhy/diagnose"`, 0},
		{"the engine is pure", "diagnose/checks/a.go", `package checks; import ("net/netip"; "net/url"; "strings")`, 0},
		{"the engine is pure", "diagnose/checks/a.go", `package checks; import ("os/exec"; "net"; "golang.org/x/sys/unix")`, 3},
		{"the engine is pure", "diagnose/checks/a_test.go", `package checks; import "os"`, 0},
		{"the engine is pure", "platform/host/a.go", `package host; import "os"`, 1},
		{"the engine is pure", "platform/linux/a.go", `package linux; import "os"`, 0},
		{"one place picks the adapter", "agent/cli/a.go", `package cli; import _ "github.com/portwhy/portwhy/platform/linux"`, 1},
		{"one place picks the adapter", "platform/darwin/a.go", `package darwin; import _ "github.com/portwhy/portwhy/platform/linux/netlink"`, 1},
		{"one place picks the adapter", "platform/open_linux.go", `package platform; import _ "github.com/portwhy/portwhy/platform/linux"`, 0},
		{"one place picks the adapter", "platform/linux/a.go", `package linux; import _ "github.com/portwhy/portwhy/platform/linux/netlink"`, 0},
		{"names say what is inside", "agent/util/a.go", `package util`, 1},
		{"names say what is inside", "agent/cli/helpers_test.go", `package cli`, 1},
		{"names say what is inside", "agent/cli/root.go", `package cli`, 0},
		{"files are short", "agent/a.go", long, 1},
		{"files are short", "agent/a_test.go", long, 0},
		{"files are short", "agent/a.go", long + "// Table: the services of IANA.\n", 0},
		{"no shell", "agent/a.go", `package a; import "os/exec"; var _ = exec.Command("/bin/sh", "-c", "true")`, 1},
		{"no shell", "agent/a.go", `package a; import "os/exec"; var _ = exec.CommandContext(nil, "ip", append([]string{"netns", "exec", "x", "bash"}, "y")...)`, 1},
		{"no shell", "agent/a.go", `package a; import "os/exec"; var _ = &exec.Cmd{Path: "/usr/bin/bash"}`, 1},
		{"no shell", "agent/a.go", `package a; import "os/exec"; var _ = exec.Command("ss", "-ltn")`, 0},
		{"no CSV", "agent/render/a.go", `package render; import "encoding/csv"`, 1},
		{"no CSV", "agent/render/a_test.go", `package render; import "encoding/csv"`, 0},
		{"no cgo", "agent/a.go", `package a; import "C"`, 1},
		{"no init", "agent/a.go", `package a; func init() { println() }`, 1},
		{"no init", "agent/a.go", `package a; type t int; func (t) init() {}`, 0},
		{"no init", "agent/lab/fault/a.go", `package main; import "runtime"; func init() { runtime.LockOSThread() }`, 0},
		{"nothing is compiled at the start", "agent/a.go", `package a; import "regexp"; var a = regexp.MustCompile("b")`, 1},
		{"nothing is compiled at the start", "agent/a.go", `package a; import ("regexp"; "sync"); var a = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("b") })`, 0},
		{"no global state", "agent/a.go", `package a; import ("sync"; "sync/atomic"); var m sync.Mutex; var p atomic.Pointer[int]; var c = make(map[int]int); var e = map[int]int{}`, 4},
		{"no global state", "agent/a.go", `package a; var table = map[int]int{1: 2}; var list = []string{"a"}`, 0},
		{"nothing unfinished", "agent/a.go", "package a\n// " + later[0] + ": more", 1},
		{"nothing unfinished", "agent/a.go", "package a\nconst s = \"" + later[0] + "\"", 0},
		{"codes are in the catalogue", "diagnose/checks/a.go", `package checks; var _ = T{Code: "no-listner", Codes: []string{"no-listener", "nowhere"}}`, 2},
	} {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.name == c.rule })
		if i < 0 {
			t.Errorf("there is no rule %q", c.rule)
			continue
		}
		s, err := parse(c.name, []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := rules[i].check(s); len(got) != c.broken {
			t.Errorf("%s finds %d faults in %s, want %d: %q", c.rule, len(got), c.name, c.broken, got)
		}
	}
}
