package lab

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ParseError names the place in a scenario that can't be understood.
type ParseError struct {
	File string
	Line int
	Err  error
}

func (e *ParseError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }
func (e *ParseError) Unwrap() error { return e.Err }

var (
	nameRE   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,14}$`)
	fileRE   = regexp.MustCompile(`^-- (\S+) --$`)
	optionRE = regexp.MustCompile(`^(uid|in|cgroup|env|seccomp|landlock|nofile)=(.*)$`)
	// Where a scenario may put files: what is private to each host.
	writable = []string{"/etc/", "/run/", "/srv/", "/tmp/", "/var/lib/", "/var/log/"}
)

// Parse reads one scenario. Errors are *ParseError.
func Parse(group, slug, text string) (*Scenario, error) {
	p := parser{s: &Scenario{Group: group, Slug: slug, Files: map[string]map[string]string{}}}
	file := group + "/" + slug + ".txtar"
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		p.line = i + 1
		line := strings.TrimRight(lines[i], "\n")
		if m := fileRE.FindStringSubmatch(line); m != nil {
			end := i + 1
			for end < len(lines) && !fileRE.MatchString(strings.TrimRight(lines[end], "\n")) {
				end++
			}
			if err := p.addFile(m[1], strings.Join(lines[i+1:end], "")); err != nil {
				return nil, &ParseError{file, p.line, err}
			}
			i = end - 1
			continue
		}
		if err := p.directive(line); err != nil {
			return nil, &ParseError{file, p.line, err}
		}
	}
	if err := p.complete(); err != nil {
		return nil, &ParseError{file, p.line, err}
	}
	return p.s, nil
}

type parser struct {
	s    *Scenario
	line int
	// expect is who reads the indented lines.
	expect func(words []string) error
	body   bool // the comment at the top is over
}

func (p *parser) complete() error {
	switch {
	case p.s.Title == "":
		return errors.New("no title: the first line says what the scenario shows")
	case len(p.s.Hosts) == 0 && p.s.Recorded == "":
		return errors.New("no host")
	case !slices.ContainsFunc(p.s.Steps, func(s Step) bool { return s.Verb == "ask" || s.Verb == "check" }):
		return errors.New("nothing is asked")
	}
	for _, s := range p.s.Steps {
		if s.Ask != nil && s.Ask.Status == "" && s.Ask.Exit < 0 {
			p.line = s.Line
			return errors.New("the question expects no status")
		}
		if s.Ask != nil && s.Ask.Fix > 0 && s.Ask.Unfixed != "" {
			p.line = s.Line
			return errors.New("a fix is applied, and it is said why none is")
		}
		if s.Checks != nil && len(s.Checks.Results) == 0 {
			p.line = s.Line
			return errors.New("no check is expected to say anything")
		}
	}
	return nil
}

func (p *parser) directive(line string) error {
	indented := line != strings.TrimLeft(line, " \t")
	if comment, ok := strings.CutPrefix(strings.TrimSpace(line), "#"); ok {
		comment = strings.TrimSpace(comment)
		switch {
		case p.body:
		case p.s.Title == "":
			p.s.Title = comment
		default:
			p.s.Doc = strings.TrimSpace(p.s.Doc + " " + comment)
		}
		return nil
	}
	words, err := splitWords(line)
	if err != nil || len(words) == 0 {
		return err
	}
	p.body = true
	if indented {
		if p.expect == nil {
			return errors.New("an indented line belongs to a question, and there is none above")
		}
		return p.expect(words)
	}
	p.expect = nil
	verb, args := words[0], words[1:]
	switch verb {
	case "needs":
		p.s.Needs = append(p.s.Needs, args...)
		return nil
	case "recorded":
		if len(args) != 1 {
			return errors.New("want: recorded FILE")
		}
		p.s.Recorded = args[0]
		return nil
	case "host":
		return p.host(args)
	case "link":
		return p.link(args)
	case "run", "start", "wait", "symptom", "ask", "check":
		return p.step(verb, args)
	}
	return fmt.Errorf("unknown directive %q", verb)
}

func (p *parser) host(args []string) error {
	if len(args) == 0 || !nameRE.MatchString(args[0]) {
		return errors.New("want: host NAME [systemd] [no-lo] [etc/FILE…], a short lower-case name")
	}
	if p.known(args[0]) {
		return fmt.Errorf("host %s is there already", args[0])
	}
	h := Host{Name: args[0]}
	for _, a := range args[1:] {
		switch a {
		case "systemd":
			h.Systemd = true
		case "no-lo":
			h.NoLo = true
		default:
			if name, ok := strings.CutPrefix(a, "etc/"); ok && name != "" && path.Clean("/"+name) == "/"+name {
				h.Etc = append(h.Etc, name)
				continue
			}
			return fmt.Errorf("unknown property %q of a host", a)
		}
	}
	p.s.Hosts = append(p.s.Hosts, h)
	return nil
}

func (p *parser) known(host string) bool {
	return slices.ContainsFunc(p.s.Hosts, func(h Host) bool { return h.Name == host })
}

func (p *parser) link(args []string) error {
	var ends []End
	for _, a := range args {
		host, dev, ok := strings.Cut(a, ":")
		if ok && p.known(host) {
			ends = append(ends, End{Host: host, Device: dev})
			continue
		}
		if len(ends) == 0 || !strings.Contains(a, "/") {
			return fmt.Errorf("%q is neither HOST:DEVICE of a known host nor ADDRESS/LENGTH", a)
		}
		last := &ends[len(ends)-1]
		last.Addresses = append(last.Addresses, a)
	}
	if len(ends) != 2 {
		return errors.New("want: link HOST:DEVICE [ADDRESS/LENGTH…] HOST:DEVICE [ADDRESS/LENGTH…]")
	}
	p.s.Steps = append(p.s.Steps, Step{Line: p.line, Verb: "link", Link: &Link{ends[0], ends[1]}})
	return nil
}

func (p *parser) step(verb string, args []string) error {
	s := Step{Line: p.line, Verb: verb}
	if p.s.Recorded != "" && verb == "ask" {
		args = append([]string{""}, args...)
	} else if len(args) == 0 || !p.known(args[0]) {
		return fmt.Errorf("%s wants the name of a host that was declared above", verb)
	}
	s.Host, args = args[0], args[1:]
	switch verb {
	case "start":
		if len(args) == 0 || !nameRE.MatchString(args[0]) {
			return errors.New("want: start HOST NAME CMD…, a short lower-case name")
		}
		s.Name, args = args[0], args[1:]
	case "symptom":
		if len(args) == 0 {
			return errors.New("want: symptom HOST ERRNO[<MS][>MS] connect|bind ARG…")
		}
		sym, err := parseSymptom(args[0])
		if err != nil {
			return err
		}
		s.Symptom, args = sym, args[1:]
	case "ask":
		s.Ask = &Ask{Exit: -1}
		p.expect = s.Ask.expect
	case "check":
		s.Checks = &Checks{Exit: -1}
		p.expect = s.Checks.expect
	}
	for len(args) > 0 {
		m := optionRE.FindStringSubmatch(args[0])
		if m == nil {
			break
		}
		switch m[1] {
		case "uid":
			s.Options.UID = m[2]
		case "seccomp":
			s.Options.Seccomp = m[2]
		case "landlock":
			s.Options.Landlock = m[2]
		case "nofile":
			s.Options.NoFile = m[2]
		case "in":
			s.Options.NetNS = m[2]
		case "cgroup":
			s.Options.Cgroup = m[2]
		case "env":
			s.Options.Env = append(s.Options.Env, m[2])
		}
		args = args[1:]
	}
	if len(args) == 0 {
		return fmt.Errorf("%s has no command", verb)
	}
	s.Args = args
	p.s.Steps = append(p.s.Steps, s)
	return nil
}

func (p *parser) addFile(name, text string) error {
	host, rest, ok := strings.Cut(name, "/")
	if !ok || !p.known(host) {
		return fmt.Errorf("file %q: want HOST/PATH of a known host", name)
	}
	file := path.Clean("/" + rest)
	if !slices.ContainsFunc(writable, func(dir string) bool { return strings.HasPrefix(file, dir) }) {
		return fmt.Errorf("file %s: only %s are private to a host", file, strings.Join(writable, " "))
	}
	if p.s.Files[host] == nil {
		p.s.Files[host] = map[string]string{}
	}
	p.s.Files[host][file] = text
	return nil
}

// splitWords splits at blanks; single and double quotes group, a backslash in
// double quotes stays for those who read escapes.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, inWord := byte(0), false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is never closed", quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
