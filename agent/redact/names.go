package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
)

// nameKind is what bears a name. Where one name stands for several things, the
// first of them says how its pseudonym begins.
type nameKind int

const (
	hostName nameKind = iota
	userName
	containerName
	projectName
	serviceName
	imageName
	networkName
	unitName
	namespaceName
	ownerName // of a certificate
	nameKinds
)

// String is how a pseudonym of the kind begins.
func (k nameKind) String() string {
	return [nameKinds]string{"host", "user", "container", "project", "service", "image", "network", "unit", "netns", "owner"}[k]
}

// summaryWords are how the summary calls the kinds.
func (k nameKind) summaryWords() string {
	return [nameKinds]string{"host names, by their parts", "users", "containers", "compose projects", "compose services", "images", "container networks", "units",
		"network namespaces", "owners and issuers of certificates"}[k]
}

// names gives each name a pseudonym. The same name has the same one throughout a
// report, and without the key nobody can tell which name it stands for, not even
// by trying names out.
type names struct {
	key   []byte
	plain map[string]bool
	kinds map[string]nameKind // of every name seen, in lower case
	used  map[string]string   // name to pseudonym
}

func newNames(key []byte) *names {
	return &names{key: key, plain: plain(), kinds: map[string]nameKind{}, used: map[string]string{}}
}

// token is a keyed name for s: 8 characters, 40 bits.
func token(key []byte, domain, s string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(domain))
	mac.Write([]byte{0})
	mac.Write([]byte(s))
	return strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil)))[:8]
}

// keeps reports whether a name says nothing about who uses it: a common one, a
// number, or a pseudonym of ours.
func (n *names) keeps(name string) bool {
	if len(name) < 2 || n.plain[name] || digitsOnly(name) {
		return true
	}
	kind, rest, ok := strings.Cut(name, "-")
	if ok && len(rest) == 8 {
		for k := range nameKinds {
			if k.String() == kind && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == "" {
				return true
			}
		}
	}
	return false
}

func digitsOnly(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// see remembers a name to be replaced.
func (n *names) see(kind nameKind, name string) {
	name = lowered(name)
	if n.keeps(name) || len(name) > 255 {
		return
	}
	if old, ok := n.kinds[name]; !ok || kind < old {
		n.kinds[name] = kind
	}
}

// pseudonym is what stands for a name; the name itself where it is kept.
func (n *names) pseudonym(kind nameKind, name string) string {
	low := lowered(name)
	if n.keeps(low) {
		return name
	}
	if k, ok := n.kinds[low]; ok {
		kind = k
	} else {
		n.kinds[low] = kind
	}
	p := kind.String() + "-" + token(n.key, "name", low)
	n.used[low] = p
	return p
}

// labels are the parts of a host name.
func labels(name string) []string { return strings.Split(strings.TrimSuffix(name, "."), ".") }

func (n *names) seeHost(name string) {
	for _, part := range labels(name) {
		n.see(hostName, part)
	}
}

// unitParts are the parts of a unit's name that somebody chose: before the @ of
// a template, and its instance. The ending says the kind of unit.
func unitParts(unit string) (base, instance, ending string) {
	base = unit
	if i := strings.LastIndexByte(unit, '.'); i > 0 {
		base, ending = unit[:i], unit[i:]
	}
	base, instance, _ = strings.Cut(base, "@")
	return base, instance, ending
}

// needles are the names to look for in texts. Short ones would be found in
// anything.
func (n *names) needles() []needle {
	var list []needle
	for name, kind := range n.kinds {
		if len(name) < 3 {
			continue
		}
		with := n.pseudonym(kind, name)
		list = append(list, needle{text: name, with: with, name: true, why: kind.summaryWords()})
		// As systemd writes it in the names of units and cgroups.
		if escaped := strings.ReplaceAll(name, "-", `\x2d`); escaped != name {
			list = append(list, needle{text: escaped, with: strings.ReplaceAll(with, "-", `\x2d`), name: true, why: kind.summaryWords()})
		}
	}
	slices.SortFunc(list, func(a, b needle) int { return strings.Compare(a.text, b.text) })
	return list
}
