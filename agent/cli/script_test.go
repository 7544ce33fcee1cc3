package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/portwhy/portwhy/agent/cli"
	"github.com/portwhy/portwhy/agent/simulate"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform"
	"github.com/portwhy/portwhy/platform/host"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"portwhy": func() {
			if status, child := platform.Child(os.Args); child {
				os.Exit(status)
			}
			os.Exit(cli.New("v0.0.0-test").Run(context.Background(), os.Args[1:]))
		},
		// The same program with a bug in it.
		"portwhy-buggy": func() {
			p := cli.New("v0.0.0-test")
			p.Open = func(string) (host.Host, error) { panic("open: \x1b[31mred\nnext") }
			p.Checks = []*diagnose.Check{{ID: "buggy", Doc: "a bug", For: diagnose.AskConnect,
				Run: failsBadly}}
			os.Exit(p.Run(context.Background(), os.Args[1:]))
		},
		// And one that fails where no handler is.
		"portwhy-lost": func() {
			p := cli.New("v0.0.0-test")
			p.Open = func(string) (host.Host, error) {
				go func() { panic("lost") }()
				select {}
			}
			os.Exit(p.Run(context.Background(), os.Args[1:]))
		},
	})
}

func failsBadly(*diagnose.Pass) error {
	var none *diagnose.Flow
	return errors.New(none.Network)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: writeRecordings,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"usage":  usage,
			"valid":  valid,
		},
		Condition:           condition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// condition knows netns: network namespaces can be made, by root or in a user
// namespace.
func condition(name string) (bool, error) {
	if name != "netns" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return simulate.Privileged() || exec.Command("unshare", "-Urn", "true").Run() == nil, nil
}

// status runs a command and compares its exit status: status 64 portwhy x.
// What it printed is then there for stdout and stderr.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status NUMBER COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		got = ended.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// usage runs portwhy in this process, with arguments that it must refuse: in one
// line on stderr, with nothing on stdout and status 64.
func usage(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: usage [ARG...]")
	}
	var out, errs bytes.Buffer
	p := cli.New("v0.0.0-test")
	p.Stdin, p.Stdout, p.Stderr = bytes.NewReader(nil), &out, &errs
	got := p.Run(context.Background(), args)
	_, err := ts.Stderr().Write(errs.Bytes())
	ts.Check(err)
	if got != 64 || out.Len() > 0 || bytes.Count(errs.Bytes(), []byte("\n")) != 1 || !bytes.HasPrefix(errs.Bytes(), []byte("portwhy: ")) {
		ts.Fatalf("%q: status %d, printed %q and %q", args, got, &out, &errs)
	}
}

// valid checks a document against the schema that portwhy prints for it:
// valid report FILE. A .yaml file is YAML.
func valid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: valid NAME FILE")
	}
	var out bytes.Buffer
	p := cli.New("")
	p.Stdout = &out
	if got := p.Run(context.Background(), []string{"schema", args[0]}); got != 0 {
		ts.Fatalf("schema %s: exit status %d", args[0], got)
	}
	schema, err := jsonschema.UnmarshalJSON(&out)
	ts.Check(err)
	c := jsonschema.NewCompiler()
	ts.Check(c.AddResource("schema.json", schema))
	compiled, err := c.Compile("schema.json")
	ts.Check(err)
	doc := []byte(ts.ReadFile(args[1]))
	if filepath.Ext(args[1]) == ".yaml" {
		var v any
		ts.Check(yaml.Unmarshal(doc, &v))
		doc, err = json.Marshal(v)
		ts.Check(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	ts.Check(err)
	ts.Check(compiled.Validate(v))
}
