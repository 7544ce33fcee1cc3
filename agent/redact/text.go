package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// What the summary calls addresses.
const (
	ofIP  = "IP addresses"
	ofMAC = "MAC addresses"
)

// edit replaces a part of a text.
type edit struct {
	from, to int
	with     string
	why      string
	secret   bool
}

// rewrite replaces in a text the secrets that were found in it, those found
// elsewhere, names and addresses.
func (r *Redactor) rewrite(s string, list []found) string {
	if s == "" {
		return s
	}
	var edits []edit
	for _, f := range list {
		if f.to > f.from {
			edits = append(edits, edit{f.from, f.to, r.instead(s[f.from:f.to]), f.why, true})
		}
	}
	r.matcher.each(s, func(from, to int, n *needle) {
		edits = append(edits, edit{from, to, n.with, n.why, n.why == elsewhere})
	})
	if r.level == All {
		for _, h := range homesIn(s) {
			edits = append(edits, edit{h.from, h.to, r.names.pseudonym(userName, s[h.from:h.to]), userName.summaryWords(), false})
		}
		for _, l := range literals(s) {
			why := ofIP
			if l.mac != nil {
				why = ofMAC
			}
			edits = append(edits, edit{l.from, l.to, r.addresses.write(l), why, false})
		}
	}
	return r.apply(s, edits)
}

// withoutSecrets replaces in a word of ours or of the kernel nothing but what is
// surely a secret, as somebody may have put it there.
func (r *Redactor) withoutSecrets(s string) string {
	var edits []edit
	r.matcher.each(s, func(from, to int, n *needle) {
		if n.strong {
			edits = append(edits, edit{from, to, n.with, n.why, true})
		}
	})
	return r.apply(s, edits)
}

// apply makes edits. Where they overlap, the first and longest counts, but a
// secret takes all with it that it overlaps.
func (r *Redactor) apply(s string, edits []edit) string {
	if len(edits) == 0 {
		return s
	}
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to))
	})
	var b strings.Builder
	at := 0
	for i := 0; i < len(edits); {
		e := edits[i]
		for i++; i < len(edits) && edits[i].from < e.to; i++ {
			next := edits[i]
			switch {
			case !e.secret && next.secret, e.secret && next.to > e.to && next.secret:
				// What overlaps a secret goes with it.
				e = edit{e.from, max(e.to, next.to), r.instead(s[e.from:max(e.to, next.to)]), next.why, true}
			case e.secret && next.to > e.to:
				e.to = next.to
			}
		}
		b.WriteString(s[at:e.from])
		b.WriteString(e.with)
		r.tally.note(e.why, s[e.from:e.to], e.with)
		at = e.to
	}
	b.WriteString(s[at:])
	return b.String()
}

// instead is what stands for a secret: the same for the same one.
func (r *Redactor) instead(secret string) string {
	with, ok := r.tokens[secret]
	if !ok {
		with = "redacted-" + token(r.key, "secret", secret)
		r.tokens[secret] = with
	}
	return with
}

// How long a secret must be to be looked for in other places.
const (
	leastSecret = 6
	mostSecret  = 4096
	// mostEncoded bounds the secrets whose other forms are looked for.
	mostEncoded = 512
)

// seeSecrets takes note of the secrets that were found in a text.
func (r *Redactor) seeSecrets(s string, list []found) {
	for _, f := range list {
		if f.to <= f.from {
			continue
		}
		secret := s[f.from:f.to]
		r.seeSecret(secret)
		if password, ok := basicPassword(secret); ok {
			r.seeSecret(password)
		}
		if strings.IndexByte(secret, '%') >= 0 {
			if plain, err := url.QueryUnescape(secret); err == nil {
				r.seeSecret(plain)
			}
		}
	}
}

func (r *Redactor) seeSecret(secret string) {
	if len(secret) < leastSecret || len(secret) > mostSecret || r.names.plain[lowered(secret)] || harmless(secret) {
		return
	}
	r.secrets[secret] = true
}

// prepare makes the matcher of everything that was seen.
func (r *Redactor) prepare() {
	var list []needle
	secrets := make([]string, 0, len(r.secrets))
	for s := range r.secrets {
		secrets = append(secrets, s)
	}
	slices.Sort(secrets)
	for _, s := range secrets {
		for _, form := range encodings(s) {
			list = append(list, needle{text: lowered(form), with: r.instead(s), why: elsewhere, name: len(s) < 8 || digitsOnly(s), strong: strong(s)})
		}
	}
	if r.level == All {
		list = append(list, r.names.needles()...)
	}
	r.matcher = newMatcher(list)
}

// strong reports whether a secret is none that happens to be a common word.
func strong(s string) bool {
	m := measure(s)
	return len(s) >= 8 && m.lower+m.upper < len(s) && m.digits < len(s)
}

// encodings are the forms in which a secret may stand in another place: as it
// is, in URLs, in JSON, in hexadecimal, and in base64 from any place on.
func encodings(s string) []string {
	forms := []string{s}
	if len(s) > mostEncoded {
		return forms
	}
	forms = append(forms, url.QueryEscape(s), url.PathEscape(s), hex.EncodeToString([]byte(s)))
	for shift := range 3 {
		padded := append(make([]byte, shift), s...)
		// Characters that hold bits of what stands before or behind are left out.
		first, last := (shift*8+5)/6, len(padded)*8/6
		if last-first < 8 {
			continue
		}
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, encoding.EncodeToString(padded)[first:last])
		}
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// leftIn counts the secrets that are still in a document. They would be there
// only by a fault in this package, and such a document is not to be handed out.
func (r *Redactor) leftIn(doc []byte) int {
	left := map[string]bool{}
	m := r.matcher
	m.each(string(doc), func(_, _ int, n *needle) {
		if n.strong {
			left[n.with] = true
		}
	})
	return len(left)
}
