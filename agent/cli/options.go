package cli

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// many is for [arguments]: as many as there are.
const many = -1

// arguments is for a command that takes so many; the message for others shows
// how it is called.
func arguments(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		what := "something is missing"
		switch {
		case len(args) >= low && (high == many || len(args) <= high):
			return nil
		case len(args) > low:
			what = fmt.Sprintf("%q is too much", args[high])
		}
		return usage("%s; it is called as %s", what, strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
}

// The bounds of --timeout: a probe needs some time, and nobody waits longer.
const (
	defaultTimeout = 3 * time.Second
	minTimeout     = time.Millisecond
	maxTimeout     = 10 * time.Minute
)

// options hold everywhere.
type options struct {
	output   string
	netns    string
	snapshot string
	asHost   bool // --host named it
	// rulesFiles are saved rules that stand in the place of the host's own.
	rulesFiles []string
	timeout    time.Duration
	noProbe    bool
	color      string
	verbose    bool
	logFormat  string
}

// session is one run of the program.
type session struct {
	Program
	options
	log    zerolog.Logger
	status int
	// fixes is the directory of the journal.
	fixes    string
	toldLeft sync.Once
}

func (s *session) addOptions(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVarP(&s.output, "output", "o", "text", "text, json, yaml, markdown, html, nagios and others; not every one everywhere")
	f.StringVar(&s.netns, "netns", "", "look from within the network namespace `NAME|PID|PATH`")
	f.StringVar(&s.snapshot, "snapshot", "", "take facts from the recording `FILE` (- is stdin) instead of this host")
	f.StringArrayVar(&s.rulesFiles, "rules", nil, "take the firewall's rules from the saved `FILE` (- is stdin) instead of this host; may be given several times")
	s.timeout = defaultTimeout
	f.Var((*timeoutValue)(&s.timeout), "timeout", "how long a probe may take")
	f.BoolVar(&s.noProbe, "no-probe", false, "predict only, send nothing")
	f.StringVar(&s.color, "color", "auto", "auto, always or never; NO_COLOR is kept")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "show the checks, and a log on stderr")
	f.StringVar(&s.logFormat, "log-format", "console", "console or json")
	for name, values := range map[string][]string{"color": colorModes, "log-format": logFormats} {
		must(root.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	must(root.RegisterFlagCompletionFunc("output", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return outputsOf(cmd), cobra.ShellCompDirectiveNoFileComp
	}))
}

// must is for what only a mistake in this package can break.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

var (
	colorModes = []string{"auto", "always", "never"}
	logFormats = []string{"console", "json"}
)

const (
	outputsKey = "outputs"
	rulesKey   = "rules"
)

// takesRules says that a command asks the firewall's rules, so that --rules can
// give others. It comes after [outputs].
func takesRules(cmd *cobra.Command) { cmd.Annotations[rulesKey] = "yes" }

// outputs says which forms a command can write; text is always the first.
func outputs(cmd *cobra.Command, forms ...string) {
	cmd.Annotations = map[string]string{outputsKey: strings.Join(forms, " ")}
}

func outputsOf(cmd *cobra.Command) []string { return strings.Fields(cmd.Annotations[outputsKey]) }

// check validates the options for the command that is about to run.
func (s *session) check(cmd *cobra.Command) error {
	forms := outputsOf(cmd)
	if len(forms) == 0 {
		return nil // help, completion
	}
	if !slices.Contains(forms, s.output) {
		return usage("--output %q: %s writes %s", s.output, cmd.CommandPath(), strings.Join(forms, ", "))
	}
	if !slices.Contains(colorModes, s.color) {
		return usage("--color %q: it is auto, always or never", s.color)
	}
	if !slices.Contains(logFormats, s.logFormat) {
		return usage("--log-format %q: it is console or json", s.logFormat)
	}
	if s.netns != "" && s.snapshot != "" {
		return usage("--netns and --snapshot exclude each other: a recording was made from within one namespace")
	}
	for _, name := range []string{"netns", "snapshot"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
			return usage("--%s is empty", name)
		}
	}
	if err := s.checkRules(cmd); err != nil {
		return err
	}
	s.log = s.logger()
	return nil
}

// checkRules validates --rules.
func (s *session) checkRules(cmd *cobra.Command) error {
	stdin := 0
	for _, path := range s.rulesFiles {
		switch path {
		case "":
			return usage("--rules is empty")
		case "-":
			stdin++
		}
	}
	switch {
	case len(s.rulesFiles) == 0:
		return nil
	case cmd.Annotations[rulesKey] == "":
		return usage("--rules: %s doesn't ask the firewall's rules", cmd.CommandPath())
	case s.netns != "":
		return usage("--rules and --netns exclude each other: saved rules are of no namespace")
	case stdin > 1 || stdin == 1 && s.snapshot == "-":
		return usage("--rules -: standard input can be read once")
	}
	return nil
}

func (s *session) logger() zerolog.Logger {
	if !s.verbose {
		return zerolog.Nop()
	}
	out := io.Writer(s.Stderr)
	if s.logFormat == "console" {
		out = zerolog.ConsoleWriter{Out: s.Stderr, NoColor: true, TimeFormat: "15:04:05.000"}
	}
	return zerolog.New(out).With().Timestamp().Logger()
}

// colored decides by --color, and for auto by what is known of the terminal:
// https://no-color.org asks that any value of NO_COLOR is kept.
func (s *session) colored() bool {
	switch s.color {
	case "always":
		return true
	case "never":
		return false
	}
	_, tty := s.Terminal()
	if !tty || s.Getenv("NO_COLOR") != "" || s.Getenv("TERM") == "dumb" {
		return false
	}
	// A Windows console understands SGR only if it is the new one.
	return runtime.GOOS != "windows" || s.Getenv("WT_SESSION") != ""
}

// width of the output, 0 if it is no terminal.
func (s *session) width() int {
	w, _ := s.Terminal()
	return w
}

// timeoutValue is a duration within bounds.
type timeoutValue time.Duration

func (v *timeoutValue) String() string { return time.Duration(*v).String() }
func (v *timeoutValue) Type() string   { return "duration" }

func (v *timeoutValue) Set(in string) error {
	d, err := time.ParseDuration(in)
	if err != nil {
		return fmt.Errorf("write it with a unit, as in 500ms or 3s")
	}
	if d < minTimeout || d > maxTimeout {
		return fmt.Errorf("it is from %v to %v", minTimeout, maxTimeout)
	}
	*v = timeoutValue(d)
	return nil
}
