package render

import (
	"fmt"
	"html/template"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
)

// The types of this file are what the page's template shows. Every string in
// them has been through Escape; html/template does the rest.

type page struct {
	Title, Masthead, When, Tool, Colophon, Policy string
	Style                                         template.CSS
	Reports                                       []reportView
	Listeners                                     *listenersView
	Replaced                                      *replacedView
}

type reportView struct {
	ID, Subject, Headline, Status, Shape, Symbol, Tone string
	Why                                                *causeView
	Pictures                                           []picture
	Fixes                                              []fixView
	Then                                               []causeView
	Also                                               []findingView
	Unseen                                             []limitView
	Host                                               []fact2
	Checks                                             []checksView
}

type causeView struct {
	Sentence, About, Command, Code, Confidence, Tone, Because, Word string
	Evidence                                                        []evidenceView
	Answers                                                         bool // it tells who answers, and is no cause
}

type evidenceView struct{ What, Value, Source string }

type fixView struct {
	Title                 string
	Commands, Undo, Notes []string
}

type findingView struct{ Severity, Tone, Title, About, Code string }

type limitView struct{ What, Why, Needs string }

type fact2 struct{ Name, Value string }

type checksView struct {
	Summary string
	Rows    []checkView
}

type checkView struct {
	ID, Result, Tone, Detail string
	Trace                    []string
}

type listenersView struct {
	Summary, More string
	Rows          []listenerView
}

type listenerView struct{ Socket, Process, Reach string }

// maxTraceLines bounds what one check shows, maxListed the listeners: a page
// has to stay one that a phone can open. JSON has all.
const (
	maxTraceLines = 200
	maxListed     = 500
)

func newPage(reports []*diagnose.Report, o HTMLOptions) page {
	p := page{Style: template.CSS(pageStyle), Policy: policy(pageStyle)}
	var tool diagnose.Tool
	var host diagnose.HostSummary
	var at time.Time
	switch {
	case len(reports) > 0:
		tool, host, at = reports[0].Tool, reports[0].Host, reports[0].At
	case o.Listeners != nil:
		tool, host, at = o.Listeners.Tool, o.Listeners.Host, o.Listeners.At
	}
	p.Tool = Escape(strings.TrimSpace(tool.Name + " " + tool.Version))
	p.Masthead = "portwhy report"
	if host.Hostname != "" {
		p.Masthead += ": " + Cut(host.Hostname, maxSubject)
	}
	p.When = at.UTC().Format("2006-01-02 15:04:05 UTC")
	p.Title = p.Masthead
	if len(reports) == 1 {
		p.Title = Cut(subject(reports[0]), maxSubject) + ": " + Escape(headline(reports[0]))
	}
	p.Colophon = "Made by " + p.Tool + ". This page loads nothing and sends nothing."
	for i, r := range reports {
		p.Reports = append(p.Reports, newReportView(fmt.Sprintf("r%d", i+1), r))
	}
	if o.Listeners != nil {
		p.Listeners = newListenersView(o.Listeners)
	}
	if o.Replaced != nil {
		p.Replaced = newReplacedView(*o.Replaced)
	}
	return p
}

// tones are the classes of the page's style by status.
var tones = map[diagnose.Status]string{diagnose.OK: "good", diagnose.Warning: "warn", diagnose.Broken: "bad", diagnose.StatusUnknown: "warn"}

// verdicts are the statuses in words of one line.
var verdicts = map[diagnose.Status]string{diagnose.OK: "Works", diagnose.Warning: "Works, with a warning", diagnose.Broken: "Broken", diagnose.StatusUnknown: "Can't be told"}

func newReportView(id string, r *diagnose.Report) reportView {
	v := reportView{ID: id, Subject: Cut(subject(r), maxSubject), Headline: Escape(headline(r)), Status: verdicts[r.Status], Shape: r.Status.String(),
		Symbol: symbol(r.Status), Tone: tones[r.Status], Why: whyView(r)}
	for i := range r.Flows {
		f := &r.Flows[i]
		v.Pictures = append(v.Pictures, newPicture(fmt.Sprintf("%s-way-%d", id, i+1), r, f))
		if len(f.Checks) > 0 {
			v.Checks = append(v.Checks, newChecksView(f))
		}
	}
	rest := r.Causes
	if r.RootCause != nil && len(rest) > 0 {
		rest = rest[1:] // the root cause comes first
	}
	for _, c := range rest {
		v.Then = append(v.Then, newCauseView(c, r.At))
	}
	v.Fixes = fixViews(r)
	for _, f := range r.Findings {
		tone := ""
		if f.Severity == diagnose.SeverityWarning {
			tone = "warn"
		}
		v.Also = append(v.Also, findingView{Escape(string(f.Severity)), tone, Escape(f.Title), Escape(culpritLine(f.Culprit, f.Title, r.At)), Escape(f.Code)})
	}
	for _, l := range r.Limits {
		v.Unseen = append(v.Unseen, limitView{Escape(l.What), Escape(l.Why), Escape(l.Needs)})
	}
	v.Host = hostFacts(r)
	return v
}

func whyView(r *diagnose.Report) *causeView {
	switch {
	case r.RootCause != nil:
		v := newCauseView(*r.RootCause, r.At)
		return &v
	case r.Status == diagnose.StatusUnknown:
		said := "Unknown: nothing that could be read explains it."
		if f := differs(r); f != nil {
			said = "Unknown: " + f.Title
		}
		return &causeView{Sentence: Escape(said)}
	case r.Server != nil:
		about, command := culprit(r.Server, server(r.Server), r.At)
		return &causeView{Answers: true, Sentence: Escape(server(r.Server)), About: Escape(about), Command: Escape(command)}
	}
	return nil
}

func newCauseView(c diagnose.Cause, at time.Time) causeView {
	v := causeView{Sentence: Escape(sentence(c)), Code: Escape(c.Code), Confidence: c.Confidence.String(), Because: Escape(c.Because), Tone: "good", Word: "Proof"}
	if c.Confidence != diagnose.Proven {
		v.Tone, v.Word = "warn", "Seen"
	}
	about, command := culprit(c.Culprit, c.Title, at)
	v.About, v.Command = Escape(about), Escape(command)
	for _, e := range c.Evidence {
		v.Evidence = append(v.Evidence, evidenceView{Escape(e.What), Escape(e.Value), Escape(e.Source)})
	}
	return v
}

func fixViews(r *diagnose.Report) []fixView {
	var list []fixView
	for _, f := range r.Fixes {
		v := fixView{Title: Escape(f.Title)}
		for _, argv := range f.Commands {
			v.Commands = append(v.Commands, sudo(r, f)+Command(argv))
		}
		for _, argv := range f.Undo {
			v.Undo = append(v.Undo, sudo(r, f)+Command(argv))
		}
		note := func(s string) { v.Notes = append(v.Notes, Escape(s)) }
		if f.Opens != "" {
			note("opens " + f.Opens)
		}
		if f.Check == "simulated" && f.PredictedOutcome != diagnose.Unknown {
			note("checked on the model: " + f.PredictedOutcome.String() + " afterwards")
		}
		if f.Risk != "" {
			note("risk: " + f.Risk)
		}
		if f.Persistent {
			note("lasts over a reboot")
		}
		list = append(list, v)
	}
	if ports := offered(r); ports != "" {
		list = append(list, fixView{Title: Escape(ports)})
	}
	return list
}

func hostFacts(r *diagnose.Report) []fact2 {
	rights := "no: some facts can't be seen"
	if r.Host.Privileged {
		rights = "yes"
	}
	return []fact2{{"Name", Escape(r.Host.Hostname)}, {"System", Escape(strings.TrimSpace(r.Host.OS + " " + r.Host.Kernel))}, {"Asked as root", rights},
		{"Facts of", r.At.UTC().Format("2006-01-02 15:04:05 UTC")}, {"Made by", Escape(r.Tool.Name + " " + r.Tool.Version)}, {"Took", duration(time.Duration(r.DurationMS * float64(time.Millisecond)))}}
}

// results are the words for what a check said.
var results = map[diagnose.Result]struct{ word, tone string }{
	diagnose.ResultPass: {"passes", "good"}, diagnose.ResultRewrite: {"rewrites", "warn"}, diagnose.ResultStop: {"stops", "bad"},
	diagnose.ResultSkip: {"skipped", "dim"}, diagnose.ResultUnknown: {"unknown", "warn"},
}

func newChecksView(f *diagnose.FlowReport) checksView {
	v := checksView{Summary: Escape(fmt.Sprintf("Every check on the way to %s (%d)", place(f), len(f.Checks)))}
	for _, c := range f.Checks {
		said, ok := results[c.Result]
		if !ok {
			said.word = Escape(string(c.Result))
		}
		row := checkView{ID: Escape(c.ID), Result: said.word, Tone: said.tone, Detail: Escape(c.Detail)}
		for i, t := range c.Trace {
			if i == maxTraceLines {
				row.Trace = append(row.Trace, fmt.Sprintf("… and %d more: report.json", len(c.Trace)-i))
				break
			}
			row.Trace = append(row.Trace, Escape(t))
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}

// place names where a flow goes: 10.0.0.5:8080/tcp, or a path.
func place(f *diagnose.FlowReport) string {
	switch {
	case f.Network == "unix":
		return f.Destination
	case f.Destination == "":
		return "no address"
	}
	return net.JoinHostPort(f.Destination, strconv.Itoa(int(f.Port))) + "/" + f.Network
}

func newListenersView(l *listeners.List) *listenersView {
	v := &listenersView{Summary: fmt.Sprintf("%d sockets that take connections or datagrams", len(l.Listeners))}
	for i := range l.Listeners {
		if i == maxListed {
			v.More = fmt.Sprintf("… and %d more", len(l.Listeners)-i)
			break
		}
		s := &l.Listeners[i]
		process := s.Process
		if s.PID != nil {
			process += fmt.Sprintf(" (pid %d)", *s.PID)
		}
		for _, more := range []string{s.User, s.Unit, s.Container} {
			if more != "" {
				process += ", " + more
			}
		}
		if process == "" {
			process = "not seen"
		}
		v.Rows = append(v.Rows, listenerView{Escape(net.JoinHostPort(s.Address, strconv.Itoa(int(s.Port))) + "/" + s.Network), Escape(strings.TrimPrefix(process, ", ")), Escape(string(s.Reach))})
	}
	return v
}
