package redact

import "strings"

// named finds the values that stand after a name which says that they are
// secret: key = value, "key": "value", key value, --key value, Key: value.
func (f *finder) named(s string, list []found) []found {
	lineStart := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c == '\n' {
			lineStart = i + 1
		}
		if !isAlnum(c) && c != '_' {
			i++
			continue
		}
		end := i
		for end < len(s) && (isAlnum(s[end]) || s[end] == '_' || s[end] == '-' || s[end] == '.') {
			end++
		}
		f.steps += end - i
		key := s[i:end]
		first := strings.TrimLeft(s[lineStart:min(i, lineStart+8)], " \t#;-") == "" && i-lineStart <= 8
		i = end
		if len(key) > 80 {
			key = key[len(key)-80:]
		}
		switch secretKey(key) {
		case headerKey:
			from, to := headerValue(s, end)
			if to > from {
				list = append(list, found{from, to, byName})
				i = to
			}
		case valueKey:
			from, to := value(s, end, first)
			if to > from && !harmless(s[from:to]) {
				list = append(list, found{from, to, byName})
			}
			i = max(i, to)
		case bearer:
			from, to := value(s, end, true)
			if to-from >= 8 && !harmless(s[from:to]) {
				list = append(list, found{from, to, byName})
			}
			i = max(i, to)
		}
	}
	return list
}

// keyKind is what stands after a name.
type keyKind int

const (
	plainKey  keyKind = iota
	valueKey          // one secret word
	headerKey         // a secret up to the end of the line
	bearer            // a token after a space
)

// Names that end so are about a secret and don't hold it.
var aboutSecrets = []string{"file", "path", "dir", "directory", "url", "uri", "endpoint", "name", "type", "mode", "length", "len", "size", "ttl",
	"policy", "expiry", "expire", "expires", "timeout", "encryption", "cmd", "command", "prompt", "enabled", "required", "min", "max", "age",
	"algorithm", "lifetime", "authentication", "bucket", "count", "limit", "charset", "delimiter", "separator", "method", "realm", "helper", "keys"}

// How names of secrets end, and what they have in them.
var (
	secretEnds = []string{"token", "pass", "pwd", "_pw", "-pw", "bindpw", "rootpw", "userpw", "psk", "masterauth", "authkey", "auth_key", "auth-key", "cookie",
		"sessionid", "session_id", "session-id", "signature", "webhook", "_auth", "_pat", "_salt"}
	secretParts = []string{"password", "passwd", "passphrase", "passwort", "secret", "credential", "apikey", "api_key", "api-key", "api.key", "accesskey",
		"access_key", "access-key", "privatekey", "private_key", "private-key", "sharedkey", "shared_key", "encryptionkey", "encryption_key", "encryption-key",
		"signingkey", "signing_key", "signing-key", "masterkey", "master_key", "master-key", "accountkey", "account_key", "licensekey", "license_key",
		"license-key", "secretkey", "presharedkey", "preshared", "connectionstring"}
)

// maySaySo is a quick look whether a name could be a secret's: for three letters
// that one of those has.
func maySaySo(name string) bool {
	for i := 0; i+2 <= len(name); i++ {
		if i+3 <= len(name) {
			switch lower3(name[i:]) {
			case "pas", "pwd", "psk", "sec", "cre", "key", "tok", "aut", "coo", "ses", "sig", "web", "sal", "com", "otp", "jwt", "sid", "bea", "pin", "sas", "pri", "pre",
				"x-a", "con", "pat":
				return true
			}
		}
	}
	return len(name) >= 2 && strings.EqualFold(name[len(name)-2:], "pw")
}

func lower3(s string) string {
	b := [3]byte{s[0] | 0x20, s[1] | 0x20, s[2] | 0x20}
	return string(b[:])
}

// secretKey says whether a name stands before a secret.
func secretKey(name string) keyKind {
	if !maySaySo(name) {
		return plainKey
	}
	name = strings.ToLower(strings.Trim(name, "-._"))
	switch name {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token", "x-amz-security-token", "private-token":
		return headerKey
	case "bearer":
		return bearer
	case "pass", "pwd", "pw", "psk", "pin", "sig", "sas", "community", "rocommunity", "rwcommunity", "salt", "otp", "x-amz-credential", "jwt", "sid":
		return valueKey
	}
	if len(name) < 4 {
		return plainKey
	}
	for _, end := range aboutSecrets {
		if strings.HasSuffix(name, end) {
			return plainKey
		}
	}
	for _, end := range secretEnds {
		if strings.HasSuffix(name, end) {
			return valueKey
		}
	}
	for _, part := range secretParts {
		if strings.Contains(name, part) {
			return valueKey
		}
	}
	return plainKey
}

// value finds what stands after a name: behind = or :, or behind a space if the
// name begins its line and one word follows, or if the word is in quotes or
// looks like no other word. All but the value itself is short.
func value(s string, end int, first bool) (from, to int) {
	i := end
	if i < len(s) && (s[i] == '"' || s[i] == '\'' || s[i] == ']') {
		i++
	}
	spaced := i < len(s) && (s[i] == ' ' || s[i] == '\t')
	i = skipSpace(s, i)
	marked := false
	for i < len(s) && (s[i] == '=' || s[i] == ':' || marked && s[i] == '>') {
		marked = true
		i++
	}
	if !marked && !spaced {
		return 0, 0
	}
	if marked {
		i = skipSpace(s, i)
	}
	if strings.HasPrefix(s[i:], `\"`) {
		i++
	}
	if i >= len(s) {
		return 0, 0
	}
	if q := s[i]; q == '"' || q == '\'' || q == '`' {
		n := strings.IndexByte(s[i+1:], q)
		if n < 0 {
			n = len(s) - i - 1
		}
		return i + 1, i + 1 + n
	}
	to = i
	for to < len(s) && !breaks(s[to]) && !endsValue(s, to) {
		to++
	}
	if marked {
		return i, to
	}
	rest := skipSpace(s, to)
	alone := rest >= len(s) || s[rest] == '\n' || s[rest] == ';' || s[rest] == '#'
	if first && alone || unlikeWords(s[i:to]) {
		return i, to
	}
	return 0, 0
}

// skipSpace goes past some spaces.
func skipSpace(s string, i int) int {
	for n := 0; n < 32 && i < len(s) && (s[i] == ' ' || s[i] == '\t'); n++ {
		i++
	}
	return i
}

// endsValue reports whether a separator ends a value without quotes: the next
// parameter of a URL, or the next of a list of key=value.
func endsValue(s string, i int) bool {
	switch s[i] {
	case '&':
		return nextKey(s, i+1)
	case ',', ';':
		return i+1 >= len(s) || breaks(s[i+1]) || nextKey(s, i+1)
	case ')', ']', '}':
		return i+1 >= len(s) || breaks(s[i+1]) || s[i+1] == ',' || s[i+1] == ';' || s[i+1] == ')'
	case '\\':
		return i+1 < len(s) && (s[i+1] == '"' || s[i+1] == 'n')
	}
	return false
}

func nextKey(s string, i int) bool {
	start := i
	for i < len(s) && i-start < 48 && (isAlnum(s[i]) || s[i] == '_' || s[i] == '-' || s[i] == '.' || s[i] == ' ') {
		i++
	}
	return i > start && i < len(s) && (s[i] == '=' || s[i] == ':')
}

// unlikeWords reports whether a word looks like a password rather than a word of
// a sentence or a configuration.
func unlikeWords(s string) bool {
	m := measure(s)
	return len(s) >= 6 && m.digits > 0 && m.lower+m.upper > 0 && !strings.ContainsAny(s, "/(){}[]:") && !strings.HasPrefix(s, "-")
}

// headerValue is the rest of a header's line behind its colon, without the word
// that names the scheme of authorization.
func headerValue(s string, end int) (from, to int) {
	i := end
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		i++
	}
	i = skipSpace(s, i)
	if i >= len(s) || s[i] != ':' && s[i] != '=' && end == i {
		return 0, 0
	}
	if s[i] == ':' || s[i] == '=' {
		i = skipSpace(s, i+1)
	}
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		i++
	}
	to = i
	for to < len(s) && s[to] != '\n' && s[to] != '\r' && s[to] != '"' && s[to] != '\'' {
		to++
	}
	from = i
	for _, scheme := range []string{"bearer ", "basic ", "digest ", "token ", "apikey ", "negotiate "} {
		if len(s)-i > len(scheme) && strings.EqualFold(s[i:i+len(scheme)], scheme) {
			from = i + len(scheme)
		}
	}
	return from, to
}

// harmless reports whether a value tells nothing: a word of a configuration, a
// reference to another place, or what hides a password already.
func harmless(s string) bool {
	if s == "" {
		return true
	}
	switch strings.ToLower(s[:min(len(s), 40)]) {
	case "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "required", "optional", "sufficient", "requisite", "enabled", "disabled", "md5",
		"scram-sha-256", "trust", "peer", "ident", "cert", "reject", "default", "prohibit-password", "without-password", "file", "env", "prompt", "ask",
		"authentication", "auth", "for", "is", "was", "not", "and", "or", "the", "a", "of", "to", "in", "expired", "invalid", "incorrect", "wrong", "missing":
		return true
	}
	switch s[0] {
	case '$', '*', '<', '%', '{':
		return true
	case '/', '.', '~', '@':
		return strings.Count(s, "/") >= 2 || strings.Contains(s, ".pem") || strings.Contains(s, ".key") || strings.Contains(s, ".crt")
	}
	return strings.Trim(s, "xX*.") == "" || strings.HasPrefix(s, "redacted-")
}
