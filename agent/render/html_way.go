package render

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
)

// picture is one flow's way, drawn from top to bottom like the map of a line:
// the client, the stations that had a say, and where it leads. What comes after
// the first blocker is dotted.
type picture struct {
	ID, Title, Description, Caption string
	Facts                           []fact2
	Height, Top, Broken, Bottom     int // pixels; Broken is where the solid line ends
	Nodes                           []node
}

// node is a sign on the line with its words beside it.
type node struct {
	Kind   string // client, pass, rewrite, stop, unknown, end, gone
	Label  string
	Tone   string // class of the label
	Behind bool   // it comes after the blocker
	Lines  []nodeLine
	Y      int
}

type nodeLine struct {
	Y    int
	Text string
}

// Sizes of the picture in pixels, and how many cells of its small type fit
// beside the line.
const (
	pictureTop  = 22
	lineHeight  = 16
	nodeGap     = 18
	pictureText = 38
	// maxNodeLines of a station's words; the blocker may say more.
	maxNodeLines, maxStopLines = 2, 6
)

// hooks of netfilter, as a station's trace names them first in a line.
var netfilterHooks = map[string]bool{"ingress": true, "prerouting": true, "input": true, "forward": true, "output": true, "postrouting": true, "egress": true}

func newPicture(id string, r *diagnose.Report, f *diagnose.FlowReport) picture {
	from, to := client(r, f), place(f)
	p := picture{ID: id, Title: Escape(fmt.Sprintf("The way from %s to %s", from, to)), Caption: Escape("To " + to), Facts: flowFacts(r, f), Top: pictureTop}
	told := []string{"From " + from + "."}
	y := pictureTop
	add := func(n node, lines []string) {
		n.Y = y
		for i, l := range lines {
			n.Lines = append(n.Lines, nodeLine{4 + (i+1)*lineHeight, l})
		}
		p.Nodes = append(p.Nodes, n)
		p.Bottom = y
		y += lineHeight*(len(n.Lines)+1) + nodeGap
	}
	add(node{Kind: "client", Label: narrow(from), Tone: "b"}, lines(asker(r), maxNodeLines))
	stopped := false
	for _, c := range f.Checks {
		if c.Result == diagnose.ResultSkip {
			continue
		}
		n := node{Kind: string(c.Result), Label: narrow(c.ID), Behind: stopped}
		room := maxNodeLines
		switch c.Result {
		case diagnose.ResultStop:
			n.Label, n.Tone, room = narrow(c.ID)+" stops it", "x", maxStopLines
			if !stopped {
				p.Broken = y
			}
			stopped = true
		case diagnose.ResultUnknown:
			n.Label, n.Tone = narrow(c.ID)+" can't be told", "q"
		case diagnose.ResultRewrite:
			n.Label += " leads elsewhere"
		}
		said := lines(c.Detail, room)
		if hooks := hooksOf(c); hooks != "" {
			said = append([]string{hooks}, said...)
		}
		add(n, said)
		told = append(told, fmt.Sprintf("%s: %s.", n.Label, strings.TrimSuffix(Cut(c.Detail, maxCommand), ".")))
		if c.Result != diagnose.ResultStop {
			continue
		}
		for _, more := range further(r, f, c.Detail) {
			n := node{Kind: string(c.Result), Label: narrow("then " + more.Code), Tone: "x", Behind: true}
			add(n, lines(more.Title, maxStopLines))
			told = append(told, fmt.Sprintf("%s: %s.", n.Label, strings.TrimSuffix(Cut(more.Title, maxCommand), ".")))
		}
	}
	end := node{Kind: "end", Label: narrow(to), Tone: "b", Behind: stopped}
	if stopped {
		end.Kind = "gone"
	} else {
		p.Broken = y
	}
	how := ending(r, f, stopped)
	add(end, lines(how, maxNodeLines))
	told = append(told, fmt.Sprintf("To %s: %s.", to, how))
	p.Height = y - nodeGap + pictureTop/2
	p.Description = Cut(strings.Join(told, " "), 4*maxString)
	return p
}

// further are the causes that one station found behind the one that its detail
// tells: the rules of a firewall are many, and the station is one.
func further(r *diagnose.Report, f *diagnose.FlowReport, detail string) []diagnose.Cause {
	told := map[string]bool{}
	for _, c := range f.Checks {
		told[c.Detail] = true
	}
	at := slices.IndexFunc(r.Causes, func(c diagnose.Cause) bool { return c.Title == detail })
	if at < 0 {
		return nil
	}
	var list []diagnose.Cause
	for _, c := range r.Causes[at+1:] {
		if told[c.Title] {
			break
		}
		if len(list) < maxThen && overlap(c.Destinations, r.Causes[at].Destinations) {
			list = append(list, c)
		}
	}
	return list
}

// client names where a flow comes from.
func client(r *diagnose.Report, f *diagnose.FlowReport) string {
	switch {
	case r.From != "":
		return r.From
	case r.Question == diagnose.AskBind:
		return "a program"
	case f.Source != "":
		return f.Source
	}
	return "this host"
}

func asker(r *diagnose.Report) string {
	switch {
	case r.From != "":
		return "the client; its packets are predicted"
	case r.Question == diagnose.AskBind:
		return "on this host, binds the port"
	}
	return "this host asks"
}

// ending says what stands at the end of the way.
func ending(r *diagnose.Report, f *diagnose.FlowReport, stopped bool) string {
	for _, c := range r.Causes {
		if c.Code == "no-listener" {
			return "nobody listens"
		}
	}
	who := server(r.Server)
	switch {
	case who != "":
		return who
	case stopped:
		return "not reached"
	case f.Observed != nil:
		return phrase(f.Observed.Outcome, 0)
	}
	return phrase(f.Predicted.Outcome, 1)
}

// hooksOf are the hooks whose rules had a say, in path order.
func hooksOf(c diagnose.CheckResult) string {
	var list []string
	seen := map[string]bool{}
	for _, t := range c.Trace {
		word, _, _ := strings.Cut(t, " ")
		if netfilterHooks[word] && !seen[word] {
			seen[word] = true
			list = append(list, word)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "hooks: " + strings.Join(list, " → ")
}

func flowFacts(r *diagnose.Report, f *diagnose.FlowReport) []fact2 {
	var facts []fact2
	tell := func(name, value string) {
		if value != "" {
			facts = append(facts, fact2{name, Escape(value)})
		}
	}
	tell("From", client(r, f))
	tell("By", f.Interface)
	predicted := f.Predicted.Outcome.String()
	if f.Predicted.Check != "" {
		predicted += ", by the check " + f.Predicted.Check
	}
	tell("Predicted", predicted)
	o := f.Observed
	if o == nil {
		tell("Observed", "not tried")
		return facts
	}
	observed := o.Outcome.String()
	if o.Errno != "" {
		observed += " (" + o.Errno + ")"
	}
	tell("Observed", observed)
	tell("After", duration(time.Duration(o.AfterUS)*time.Microsecond))
	if o.ICMP != nil {
		tell("ICMP", fmt.Sprintf("%d/%d %s, from %s", o.ICMP.Type, o.ICMP.Code, o.ICMP.Text, o.ICMP.From))
	}
	if o.Accepted != "" && o.Accepted != "unknown" {
		tell("Taken by its process", o.Accepted)
	}
	tell("Speaks", o.Speaks)
	tell("First words", Cut(o.Banner, maxCommand))
	return facts
}

// narrow bounds a label to the room beside the line.
func narrow(s string) string { return fit(Escape(s), pictureText-10) }

// lines wraps escaped words to at most n lines of the picture.
func lines(s string, n int) []string {
	if s == "" {
		return nil
	}
	var list []string
	for _, line := range wrap(Cut(s, pictureText*(n+1)), pictureText) {
		for columns(line) > pictureText && len(list) < n {
			head := cells(line, pictureText)
			list = append(list, head)
			line = line[len(head):]
		}
		if line != "" {
			list = append(list, line)
		}
	}
	if len(list) > n {
		list = list[:n]
		list[n-1] = fit(list[n-1]+" …", pictureText)
	}
	return list
}

// fit cuts a printable string to n cells.
func fit(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	return strings.TrimRight(cells(s, n-1), " …") + "…"
}

// cells is as much of a printable string as n cells hold, and at least one
// character.
func cells(s string, n int) string {
	for i := range s {
		if i > 0 && columns(s[:i]) >= n {
			return s[:i]
		}
	}
	return s
}
