package config

import (
	"net/netip"
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Unit is what the files of one systemd unit say about ports.
type Unit struct {
	Name    string
	Listens []host.UnitListen
	Exec    []UnitExec
	// Env and EnvFiles are Environment= and EnvironmentFile= in order.
	Env      []UnitVariable
	EnvFiles []string
	// Installable: there is an [Install] section with a reason to start it. One
	// without is started by other means, or by nobody.
	Installable bool

	lines []unitLine // of Listens
}

// UnitExec is one ExecStart= line, split into words.
type UnitExec struct {
	Args []string
	line unitLine
}

// UnitVariable is one assignment of Environment=, or of an environment file.
type UnitVariable struct {
	Name, Value string
	line        unitLine
}

// unitLine is where a setting stands.
type unitLine struct {
	file   *File
	number int
	text   string
}

const maxSettings = 512

// ParseUnit reads a unit from its fragment and drop-ins, in the order in which
// systemd reads them; an empty assignment takes back earlier ones
// (systemd.syntax(7), systemd.socket(5), systemd.exec(5)). Specifiers for the
// names of the unit and its instance are replaced.
func ParseUnit(name string, files []File) Unit {
	u := Unit{Name: host.Clean([]byte(name), 255)}
	for _, file := range files {
		section := ""
		unitLines(file, func(line unitLine, body string) {
			if strings.HasPrefix(body, "[") {
				section = body
				return
			}
			key, value, ok := strings.Cut(body, "=")
			if !ok {
				return
			}
			u.setting(section, strings.TrimSpace(key), u.specifiers(strings.TrimSpace(value)), line)
		})
	}
	return u
}

func (u *Unit) setting(section, key, value string, line unitLine) {
	if len(u.Listens)+len(u.Exec)+len(u.Env)+len(u.EnvFiles) > maxSettings {
		return
	}
	switch {
	case section == "[Install]":
		switch key {
		case "WantedBy", "RequiredBy", "Alias", "UpheldBy":
			u.Installable = u.Installable || value != ""
		}
	case section == "[Socket]" && strings.HasPrefix(key, "Listen"):
		if value == "" {
			u.Listens, u.lines = nil, nil
			return
		}
		if listen, ok := Listen(key, value); ok {
			listen.File, listen.Line = host.Clean([]byte(line.file.Path), 4096), line.number
			u.Listens = append(u.Listens, listen)
			u.lines = append(u.lines, line)
		}
	case section != "[Service]" && section != "[Socket]":
	case key == "ExecStart":
		if value == "" {
			u.Exec = nil
			return
		}
		if args := execWords(value); len(args) > 0 {
			u.Exec = append(u.Exec, UnitExec{args, line})
		}
	case key == "Environment":
		if value == "" {
			u.Env = nil
			return
		}
		for _, word := range unitWords(value) {
			if name, value, ok := strings.Cut(word, "="); ok {
				u.Env = append(u.Env, UnitVariable{name, value, line})
			}
		}
	case key == "EnvironmentFile":
		if value == "" {
			u.EnvFiles = nil
			return
		}
		u.EnvFiles = append(u.EnvFiles, strings.TrimPrefix(value, "-"))
	}
}

// specifiers replaces %n %N %p %i %I %j and %%; others stay (systemd.unit(5)).
func (u *Unit) specifiers(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	bare := strings.TrimSuffix(u.Name, path.Ext(u.Name))
	prefix, instance, _ := strings.Cut(bare, "@")
	last := prefix[strings.LastIndexByte(prefix, '-')+1:]
	return strings.NewReplacer("%%", "%", "%n", u.Name, "%N", bare, "%p", prefix, "%i", instance,
		"%I", strings.ReplaceAll(instance, "-", "/"), "%j", last).Replace(s)
}

// unitLines calls f for every logical line: comments are left out, lines that
// end in a backslash are joined. The line's number is that of its first part.
func unitLines(file File, f func(line unitLine, body string)) {
	joined, first := "", unitLine{}
	file.lines(func(number int, text string) {
		body := strings.TrimSpace(text)
		if strings.HasPrefix(body, "#") || strings.HasPrefix(body, ";") || body == "" && joined == "" {
			return
		}
		if joined == "" {
			first = unitLine{&file, number, text}
		}
		if part, more := strings.CutSuffix(body, `\`); more && len(joined) < 1<<16 {
			joined += part + " "
			return
		}
		body, joined = joined+body, ""
		f(first, body)
	})
}

// Listen reads the address of a Listen…= setting of a socket unit. A number
// alone is a port on [::], which takes IPv4 as well unless BindIPv6Only= says
// otherwise. ok is false for what has no port or path, such as netlink.
func Listen(key, value string) (listen host.UnitListen, ok bool) {
	l := host.UnitListen{Network: "tcp"}
	switch key {
	case "ListenStream":
	case "ListenDatagram":
		l.Network = "udp"
	case "ListenSequentialPacket":
	default:
		return l, false
	}
	if strings.HasPrefix(value, "/") || strings.HasPrefix(value, "@") {
		l.Network, l.Path = "unix", host.Clean([]byte(value), 256)
		return l, true
	}
	if n, ok := port(value); ok {
		l.Address = netip.AddrPortFrom(netip.IPv6Unspecified(), n)
		return l, true
	}
	address, err := netip.ParseAddrPort(value)
	if err != nil || address.Port() == 0 {
		return l, false
	}
	l.Address = address
	return l, true
}

// execWords splits a command line of ExecStart=: prefixes that change how it is
// run are taken off, "@" lets the second word be argv[0].
func execWords(s string) []string {
	prefix := len(s) - len(strings.TrimLeft(s, "-@:+!|"))
	words := unitWords(s[prefix:])
	if strings.Contains(s[:prefix], "@") && len(words) > 1 {
		words = append(words[:1], words[2:]...)
	}
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "$$", "$")
	}
	return words
}

// unitWords splits a value into words by space and quotes (systemd.syntax(7)).
func unitWords(s string) []string {
	var words []string
	var word strings.Builder
	quote, in := byte(0), false
	for i := 0; i < len(s) && len(words) < 256; i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				word.WriteByte('\n')
			case 't':
				word.WriteByte('\t')
			case 's':
				word.WriteByte(' ')
			default:
				word.WriteByte(s[i])
			}
			in = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case (c == '"' || c == '\'') && word.Len() == 0:
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}
