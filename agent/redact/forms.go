package redact

import (
	"strings"
	"sync"
)

// form is how a service's tokens begin, and how many characters follow at least.
type form struct {
	prefix string
	least  int
}

// tokenForms are published by the services, so that such tokens can be found.
var tokenForms = []form{
	{"ghp_", 20}, {"gho_", 20}, {"ghu_", 20}, {"ghs_", 20}, {"ghr_", 20}, {"github_pat_", 20}, // GitHub
	{"glpat-", 16}, {"gldt-", 16}, {"glptt-", 16}, {"glrt-", 16}, {"glsoat-", 16}, {"glcbt-", 16}, // GitLab
	{"xoxb-", 10}, {"xoxp-", 10}, {"xoxa-", 10}, {"xoxr-", 10}, {"xoxs-", 10}, {"xapp-", 10}, {"xoxe.", 10}, // Slack
	{"sk_live_", 10}, {"sk_test_", 10}, {"rk_live_", 10}, {"rk_test_", 10}, {"pk_live_", 10}, {"whsec_", 16}, // Stripe
	{"AKIA", 16}, {"ASIA", 16}, {"ABIA", 16}, {"ACCA", 16}, // AWS
	{"AIza", 30}, {"ya29.", 16}, {"GOCSPX-", 16}, {"1//0", 30}, // Google
	{"npm_", 30}, {"pypi-", 30}, {"rubygems_", 30}, {"dckr_pat_", 16}, {"dckr_oat_", 16}, // registries
	{"dop_v1_", 30}, {"doo_v1_", 30}, {"hvs.", 16}, {"hvb.", 16}, {"s.", 24}, {"tskey-", 16}, {"shpat_", 20}, {"shpss_", 20},
	{"sk-ant-", 16}, {"sk-proj-", 16}, {"sk-", 32}, {"SG.", 30}, {"key-", 32}, {"lin_api_", 20}, {"figd_", 20}, {"secret_", 30}, {"ntn_", 30},
	{"AGE-SECRET-KEY-1", 30}, {"PMAK-", 30}, {"rnd_", 20}, {"sntrys_", 20}, {"sbp_", 20}, {"pscale_tkn_", 20}, {"pscale_pw_", 20},
	{"atlasv1.", 20}, {"eyJ", 24}, // a JSON Web Token or what is signed like one (RFC 7519)
}

// forms finds tokens by their form, and words that look random.
func (f *finder) forms(s string, from, to int, list []found) []found {
	for i := from; i < to; {
		if !isToken(s[i]) {
			i++
			continue
		}
		end := i
		for end < to && isToken(s[end]) {
			end++
		}
		list = f.form(s, i, end, list)
		i = end
	}
	return list
}

// isToken reports whether a token may have c in it.
func isToken(c byte) bool {
	return isAlnum(c) || c == '_' || c == '-' || c == '.' || c == '+' || c == '/' || c == '=' || c == '~'
}

// form looks at one run of such characters. A token may stand behind others that
// are joined to it by an equals sign or a slash.
func (f *finder) form(s string, from, to int, list []found) []found {
	run := s[from:to]
	if base64Like(run) && randomWhole(run) {
		return append(list, found{from, to, byRandom})
	}
	start := from
	for i := from; i <= to; i++ {
		if i < to && s[i] != '/' && s[i] != '=' {
			continue
		}
		piece := s[start:i]
		switch {
		case len(piece) <= 12:
		case hasForm(piece):
			list = append(list, found{start, i, byForm})
		case isUUID(piece) && !f.known[piece]:
			list = append(list, found{start, i, byRandom})
		default:
			list = f.random(s, start, i, list)
		}
		start = i + 1
	}
	return list
}

// formsByLetter are the forms by their first letter.
var formsByLetter = sync.OnceValue(func() *[256][]form {
	var by [256][]form
	for _, form := range tokenForms {
		first := form.prefix[0]
		by[first] = append(by[first], form)
	}
	return &by
})

// hasForm reports whether a token begins anywhere in a piece where no letter or
// digit is before it.
func hasForm(piece string) bool {
	forms := formsByLetter()
	for i := range len(piece) - 12 {
		if i > 0 && isAlnum(piece[i-1]) {
			continue
		}
		for _, form := range forms[piece[i]] {
			if strings.HasPrefix(piece[i:], form.prefix) && form.fits(piece[i:]) {
				return true
			}
		}
	}
	return false
}

// fits looks at what follows the prefix.
func (f form) fits(piece string) bool {
	end := 0
	for end < len(piece) && end < len(f.prefix)+f.least && (isAlnum(piece[end]) || strings.IndexByte("_-.", piece[end]) >= 0) {
		end++
	}
	if end < len(f.prefix)+f.least {
		return false
	}
	switch f.prefix {
	case "eyJ":
		return strings.IndexByte(piece, '.') > 0 || randomPart(piece)
	case "AKIA", "ASIA", "ABIA", "ACCA":
		return strings.ToUpper(piece[:end]) == piece[:end] && strings.IndexByte(piece[:end], '.') < 0 && (end == len(piece) || !isAlnum(piece[end]))
	case "s.", "key-", "secret_", "sk-":
		return randomPart(piece[len(f.prefix):end])
	}
	return true
}

// base64Like reports whether a run is one word in base64 and not a path.
func base64Like(s string) bool {
	return len(s) >= 24 && s[0] != '/' && s[0] != '.' && (s[len(s)-1] == '=' || strings.IndexByte(s, '+') > 0) && !strings.ContainsAny(strings.TrimRight(s, "="), "=~_")
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (s[i] == '-') || !dash && !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// random finds the parts of a piece that look random: between dots, dashes and
// underscores, or from the first of such parts to the last.
func (f *finder) random(s string, from, to int, list []found) []found {
	start, first, last := from, -1, -1
	for i := from; i <= to; i++ {
		if i < to && isAlnum(s[i]) {
			continue
		}
		if part := s[start:i]; randomPart(part) && !f.known[part] {
			if first < 0 {
				first = start
			}
			last = i
		}
		start = i + 1
	}
	if first >= 0 {
		list = append(list, found{first, last, byRandom})
	}
	return list
}

// randomPart reports whether a word of letters and digits looks drawn by chance:
// long hexadecimal numbers, and words whose letters and digits, or upper and
// lower case, are mixed as nobody would write them.
func randomPart(s string) bool {
	if len(s) < 16 {
		return false
	}
	m := measure(s)
	switch {
	case m.hex == len(s):
		return len(s) >= 24 && m.digits > 2 && m.digits < len(s)-2
	case m.digits == 0:
		return len(s) >= 20 && m.lower > 0 && m.upper > 0 && 10*m.changes >= 4*len(s)
	case m.lower > 0 && m.upper > 0:
		return 10*m.changes >= 3*len(s)
	}
	return len(s) >= 20 && m.groups >= 3 && 10*m.changes >= 2*len(s)
}

func randomWhole(s string) bool {
	m := measure(strings.TrimRight(s, "="))
	return m.lower > 0 && m.upper > 0 && m.digits > 0 && 10*m.changes >= 3*len(s)
}

type measures struct {
	lower, upper, digits, hex int
	changes                   int // of class from one character to the next
	groups                    int // of digits
}

func measure(s string) (m measures) {
	last := 0
	for i := 0; i < len(s); i++ {
		class := 0
		switch c := s[i]; {
		case isDigit(c):
			m.digits++
			class = 1
			if last != 1 {
				m.groups++
			}
		case c >= 'a' && c <= 'z':
			m.lower++
			class = 2
		case c >= 'A' && c <= 'Z':
			m.upper++
			class = 3
		}
		if isHex(s[i]) {
			m.hex++
		}
		if i > 0 && class != last {
			m.changes++
		}
		last = class
	}
	return m
}
