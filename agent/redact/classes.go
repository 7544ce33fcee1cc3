package redact

import (
	"net"
	"net/netip"
	"path"
	"strings"
)

// see takes note of what a string tells, before anything is replaced.
func (r *Redactor) see(c class, s string) {
	switch c {
	case plainText:
		return
	case labelText:
		// What looks random here is a name that a program made up.
		for part := range strings.FieldsFuncSeq(s, func(c rune) bool { return c > 0x7f || !isAlnum(byte(c)) }) {
			r.finder.known[part] = true
		}
	case idText:
		r.finder.known[s] = true
	case hostText:
		if _, _, ok := parseAddress(s); !ok {
			r.names.seeHost(s)
		}
	case userText:
		r.names.see(userName, s)
	case containerText:
		r.names.see(containerName, s)
	case projectText:
		r.names.see(projectName, s)
	case serviceText:
		r.names.see(serviceName, s)
	case networkText:
		r.names.see(networkName, strings.TrimPrefix(s, "container:"))
	case netnsText:
		r.names.see(namespaceName, s)
	case imageText:
		r.image(s, func(kind nameKind, name string) string { r.names.see(kind, name); return name })
	case unitText:
		r.unit(s, func(kind nameKind, name string) string { r.names.see(kind, name); return name })
	case cgroupText:
		for part := range strings.SplitSeq(s, "/") {
			switch path.Ext(part) {
			case ".service", ".socket", ".scope":
				r.unit(part, func(kind nameKind, name string) string { r.names.see(kind, name); return name })
			}
		}
	case subjectText:
		subject(s, func(_, value string) string { r.names.see(ownerName, value); return value })
	case envText:
		if host, ok := hostOfValue(s); ok {
			r.names.seeHost(host)
		}
	case commandText:
		args := strings.Fields(s)
		for i, list := range r.finder.arguments(args) {
			r.seeSecrets(args[i], list)
		}
	}
	if c != idText && c != unitText && c != cgroupText && c != labelText {
		r.seeSecrets(s, r.finder.in(s))
		if r.level == All {
			r.names.seeHosts(s)
		}
	}
	r.seeText(s)
}

// seeText takes note of what any text tells besides secrets: ranges of
// addresses, and users by their home directories.
func (r *Redactor) seeText(s string) {
	if r.level != All {
		return
	}
	r.addresses.learn(s)
	for _, h := range homesIn(s) {
		r.names.see(userName, s[h.from:h.to])
	}
}

// change is what stands for a string.
func (r *Redactor) change(c class, s string) string {
	if c == idText {
		return r.withoutSecrets(s)
	}
	if r.level == All {
		switch c {
		case hostText:
			return r.host(s)
		case userText:
			return r.name(userName, s)
		case containerText:
			return r.name(containerName, s)
		case projectText:
			return r.name(projectName, s)
		case serviceText:
			return r.name(serviceName, s)
		case netnsText:
			return r.name(namespaceName, s)
		case networkText:
			if id, ok := strings.CutPrefix(s, "container:"); ok {
				return "container:" + r.name(networkName, id)
			}
			return r.name(networkName, s)
		case imageText:
			return r.image(s, r.name)
		case unitText:
			return r.unit(s, r.name)
		case subjectText:
			return subject(s, func(_, value string) string { return r.name(ownerName, value) })
		case macText:
			if old, err := parseLink(s); err == nil {
				out := r.addresses.hardware(old).String()
				r.tally.note(ofMAC, s, out)
				return out
			}
		}
	}
	switch c {
	case plainText:
		return r.withoutSecrets(s)
	case labelText, cgroupText, unitText:
		return r.rewrite(s, nil)
	case commandText:
		return r.command(s)
	}
	return r.rewrite(s, r.finder.in(s))
}

// command rewrites a command line that is one text.
func (r *Redactor) command(s string) string {
	list := r.finder.in(s)
	var args []string
	var at []int
	for from, to := range words(s) {
		args, at = append(args, s[from:to]), append(at, from)
	}
	for i, found := range r.finder.arguments(args) {
		for _, f := range found {
			list = append(list, f.moved(at[i]))
		}
	}
	return r.rewrite(s, list)
}

// name gives a name its pseudonym, and counts it. A secret in a name that is
// kept goes nevertheless.
func (r *Redactor) name(kind nameKind, s string) string {
	out := r.names.pseudonym(kind, s)
	if out == s {
		return r.rewrite(s, r.finder.in(s))
	}
	if k, ok := r.names.kinds[lowered(s)]; ok {
		kind = k
	}
	r.tally.note(kind.summaryWords(), s, out)
	return out
}

// host replaces a host name part by part, so that hosts of one domain still show
// it, or an address.
func (r *Redactor) host(s string) string {
	// A device may stand behind an address of either family.
	if bare, device, zoned := strings.Cut(s, "%"); zoned {
		if _, _, ok := parseAddress(bare); ok {
			return r.host(bare) + "%" + device
		}
	}
	if a, port, ok := parseAddress(s); ok {
		out := r.mapped(a)
		if port != 0 {
			return netip.AddrPortFrom(out, port).String()
		}
		return out.String()
	}
	parts := labels(s)
	for i, part := range parts {
		parts[i] = r.name(hostName, part)
	}
	out := strings.Join(parts, ".")
	if strings.HasSuffix(s, ".") {
		out += "."
	}
	return out
}

func parseAddress(s string) (netip.Addr, uint16, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a, 0, true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr(), ap.Port(), err == nil
}

// parseLink reads a link's address of any length.
func parseLink(s string) (net.HardwareAddr, error) {
	parts := strings.Split(s, ":")
	out := make(net.HardwareAddr, len(parts))
	for i, p := range parts {
		if len(p) != 2 || !isHex(p[0]) || !isHex(p[1]) {
			return nil, net.InvalidAddrError(s)
		}
		out[i] = hexValue(p[0])<<4 | hexValue(p[1])
	}
	return out, nil
}

// hostOfValue is the host of a variable's value: db.lan, db.lan:5432.
func hostOfValue(s string) (string, bool) {
	if _, _, ok := parseAddress(s); ok || s == "" || digitsOnly(s) || strings.ContainsAny(s, "/@ ,;=") {
		return "", false
	}
	host, _, _ := strings.Cut(s, ":")
	return host, isName(host)
}

// image goes through the parts of an image's name that somebody chose: the
// registry, the path, and the tag if it isn't a version.
func (r *Redactor) image(s string, f func(nameKind, string) string) string {
	rest, digest, hasDigest := strings.Cut(s, "@")
	parts := strings.Split(rest, "/")
	last := len(parts) - 1
	name, tag, hasTag := strings.Cut(parts[last], ":")
	if len(parts) > 1 && strings.ContainsAny(parts[0], ".:") {
		host, port, hasPort := strings.Cut(parts[0], ":")
		pieces := labels(host)
		for i := range pieces {
			pieces[i] = f(hostName, pieces[i])
		}
		parts[0] = strings.Join(pieces, ".")
		if hasPort {
			parts[0] += ":" + port
		}
	}
	for i := 1; i < last; i++ {
		parts[i] = f(imageName, parts[i])
	}
	if last > 0 && !strings.ContainsAny(rest[:strings.IndexByte(rest, '/')], ".:") {
		parts[0] = f(imageName, parts[0])
	}
	parts[last] = f(imageName, name)
	if hasTag {
		if !strings.ContainsAny(tag[:min(1, len(tag))], "0123456789") && tag != "latest" {
			tag = f(imageName, tag)
		}
		parts[last] += ":" + tag
	}
	out := strings.Join(parts, "/")
	if hasDigest {
		out += "@" + digest
	}
	return out
}

// unit goes through the parts of a unit's name. Names whose every word is common
// are of a distribution.
func (r *Redactor) unit(s string, f func(nameKind, string) string) string {
	base, instance, ending := unitParts(s)
	out := base
	if !r.common(base) {
		out = f(unitName, base)
	}
	if strings.Contains(s, "@") {
		if !r.common(instance) {
			instance = f(unitName, instance)
		}
		out += "@" + instance
	}
	return out + ending
}

// common reports whether each part of a unit's name is a common word, a number
// or a number that a program drew.
func (r *Redactor) common(name string) bool {
	if strings.HasPrefix(name, "systemd-") || strings.HasPrefix(name, "dbus-org.freedesktop.") || strings.HasPrefix(name, "run-") {
		return true
	}
	for part := range strings.FieldsFuncSeq(name, func(c rune) bool { return c == '-' || c == '_' || c == '.' || c == ':' }) {
		word := strings.TrimRight(lowered(part), "0123456789.")
		if !r.names.plain[word] && !r.names.plain[lowered(part)] && !r.finder.known[part] && len(word) >= 2 && strings.Trim(part, "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}

// subject goes through the values of a distinguished name but for the country.
func subject(s string, f func(key, value string) string) string {
	parts := strings.Split(s, ",")
	for i, part := range parts {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			key, value = "", part
		}
		if strings.TrimSpace(key) == "C" || value == "" {
			continue
		}
		if strings.TrimSpace(key) == "CN" && strings.Contains(value, ".") && isName(strings.TrimPrefix(value, "*.")) {
			labels := strings.Split(value, ".")
			for j := range labels {
				labels[j] = f(key, labels[j])
			}
			value = strings.Join(labels, ".")
		} else {
			value = f(key, value)
		}
		parts[i] = value
		if ok {
			parts[i] = key + "=" + value
		}
	}
	return strings.Join(parts, ",")
}

// homesIn finds the names of users in paths of home directories.
func homesIn(s string) (list []found) {
	for _, dir := range []string{"/home/", "/Users/", "/var/spool/mail/", "/var/mail/"} {
		for at := 0; ; {
			i := strings.Index(s[at:], dir)
			if i < 0 {
				break
			}
			from := at + i + len(dir)
			to := from
			for to < len(s) && to-from < 64 && (isAlnum(s[to]) || s[to] == '_' || s[to] == '-' || s[to] == '.') {
				to++
			}
			at = from
			if to > from {
				list = append(list, found{from, to, ""})
			}
		}
	}
	return list
}
