package redact

import "slices"

// User is a user's name as the redacted recording knows it.
func (r *Redactor) User(name string) string {
	if r.level != All {
		return name
	}
	return r.change(userText, name)
}

// Left lists what was replaced in the recording and is nevertheless in a
// document, in whatever way it came there: secrets in any of their usual forms,
// addresses and names. It is a check of what is made from a redacted recording,
// as a report is. Names that are words of a document of ours would be found,
// too, so one is only looked for where it has a digit or a dash.
func (r *Redactor) Left(doc []byte) []string {
	if r.level == None {
		return nil
	}
	s := string(doc)
	left := map[string]bool{}
	r.matcher.each(s, func(from, to int, n *needle) {
		if n.strong || n.name && n.why != elsewhere && len(n.text) >= 5 && unlikeAWord(n.text) {
			left[s[from:to]] = true
		}
	})
	if r.level == All {
		images := r.addresses.images()
		for _, l := range literals(s) {
			text := l.mac.String()
			_, old := r.addresses.macs[text]
			if l.addr.IsValid() {
				addr := l.addr.WithZone("")
				text = addr.String()
				image, known := r.addresses.mapped[addr]
				old = known && image != addr
			}
			if old && !images[text] {
				left[text] = true
			}
		}
	}
	out := make([]string, 0, len(left))
	for s := range left {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func unlikeAWord(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isLetter(s[i]) {
			return true
		}
	}
	return false
}
