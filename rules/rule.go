package rules

import "encoding/json"

// Rule is a rule: its expressions are run in order until one breaks off or
// gives a verdict. There may be millions, so it has little room: what few rules
// have, and what many have in common, is in its [About].
type Rule struct {
	Exprs  List
	Number int32  // place in its chain, from 1, as iptables -L --line-numbers counts
	Line   int32  // of the file it was read from, from 1; 0 for a live rule
	Text   string // as the rule's own tool writes it; empty until printed
	about  *About
}

// About is what is told of a rule besides what it does.
type About struct {
	Handle uint64 // nftables' handle; 0 for legacy and where the source has none
	// Comment is the rule's comment: of nft's user data, or of the match comment.
	Comment string
	// Counted says that the rule counts; Packets and Bytes are then its counters.
	Counted        bool
	Packets, Bytes uint64
	File           string // that it was read from; empty for a live rule
}

// About is what is told of the rule.
func (r *Rule) About() About {
	if r.about == nil {
		return About{}
	}
	return *r.about
}

// Tell says what is told of the rule from now on.
func (r *Rule) Tell(a About) {
	r.about = nil
	if a != (About{}) {
		r.about = &a
	}
}

// ruleJSON is a Rule in JSON.
type ruleJSON struct {
	Handle         uint64
	Number         int32
	Exprs          List
	Text           string
	Comment        string
	Counted        bool
	Packets, Bytes uint64
	Line           int32
	File           string
}

// MarshalJSON writes the rule with what is told of it.
func (r *Rule) MarshalJSON() ([]byte, error) {
	a := r.About()
	return json.Marshal(ruleJSON{a.Handle, r.Number, r.Exprs, r.Text, a.Comment, a.Counted, a.Packets, a.Bytes, r.Line, a.File})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Rule) UnmarshalJSON(b []byte) error {
	var j ruleJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*r = Rule{Exprs: j.Exprs, Number: j.Number, Line: j.Line, Text: j.Text}
	r.Tell(About{j.Handle, j.Comment, j.Counted, j.Packets, j.Bytes, j.File})
	return nil
}
