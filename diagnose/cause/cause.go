// Package cause is the catalogue of causes and findings: one entry per code,
// with its page. Help, reports and documents all take their words from here.
//
// The list is closed and scripts rely on it: a code is never renamed or used
// for something else. An entry says what is wrong in the words of the field,
// never which check saw it.
//
// The texts are plain prose, wrapped below 80 columns, and valid Markdown as
// they stand: a line that is indented by four spaces is a command as a user
// would type it, with the parts to fill in written in capitals.
package cause

import (
	"cmp"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose/spelling"
)

// Entry is one code with its page.
type Entry struct {
	Code    string
	Group   string // heading under which it is listed
	Kind    Kind
	Summary string   // what is wrong, in one line, without a full stop
	Means   string   // what it means and how it comes about
	Shows   string   // how it shows: errno, latency, where to see it
	Mend    string   // how to mend it
	See     []string // codes that are easily taken for this one, or belong to it
}

// Kind says what an entry does to the answer.
type Kind string

// The kinds of entries.
const (
	Blocks Kind = "cause"  // stops the connection or the bind, or makes it fail
	Limits Kind = "caveat" // limits what the report can say
	Tells  Kind = "note"   // worth knowing, blocks nothing
)

// The groups, in the order in which they are listed.
const (
	NothingThere = "Nothing there, or elsewhere"
	InTrouble    = "Listener in trouble"
	Bind         = "Bind"
	Firewall     = "Firewall"
	NAT          = "NAT and forwarding"
	Route        = "Route, link, neighbour"
	Names        = "Names and environment"
	Resources    = "Resources"
	Remote       = "Remote"
	Caveats      = "Caveats"
)

// All returns every entry, group by group.
func All() []Entry {
	var all []Entry
	for _, g := range []struct {
		name    string
		entries []Entry
	}{
		{NothingThere, nothingThere()}, {InTrouble, inTrouble()}, {Bind, bind()}, {Firewall, firewall()}, {NAT, nat()},
		{Route, route()}, {Names, names()}, {Resources, resources()}, {Remote, remote()}, {Caveats, caveats()},
	} {
		for _, e := range g.entries {
			e.Group = g.name
			e.Kind = cmp.Or(e.Kind, Blocks)
			all = append(all, e)
		}
	}
	return all
}

// Find returns the entry of a code.
func Find(code string) (Entry, bool) {
	for _, e := range All() {
		if e.Code == code {
			return e, true
		}
	}
	return Entry{}, false
}

// maxNear is how many suggestions help more than they confuse.
const maxNear = 5

// Near returns the codes that someone who typed code may have meant, the
// likeliest first; none if nothing is like it.
func Near(code string) []string {
	code = strings.ToLower(strings.TrimSpace(code))
	code = strings.NewReplacer("_", "-", " ", "-").Replace(code)
	if code == "" || len(code) > 80 {
		return nil
	}
	type candidate struct {
		code string
		far  int
	}
	var near []candidate
	for _, e := range All() {
		switch far := spelling.Distance(code, e.Code); {
		case far <= 1+len(code)/5:
			near = append(near, candidate{e.Code, far})
		case len(code) >= 3 && strings.Contains(e.Code, code):
			// A part of a code: behind every misspelling, the shortest first.
			near = append(near, candidate{e.Code, 100 + len(e.Code)})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.far, b.far) })
	var codes []string
	for _, c := range near[:min(len(near), maxNear)] {
		codes = append(codes, c.code)
	}
	return codes
}
