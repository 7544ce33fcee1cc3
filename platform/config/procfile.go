package config

import (
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/portwhy/portwhy/platform/host"
)

// foremanPort is the base port of foreman and honcho where none is given; each
// process type after the first gets 100 more (foreman(1), "PORT").
const (
	foremanPort = 5000
	foremanStep = 100
)

// portVariable is $PORT in a command line, with a default or without.
const portVariable = `\$PORT\b|\$\{PORT(:?[-=][^}]*)?\}`

// Procfile reads the process types of a Procfile as foreman and honcho start
// them: the variable PORT is 5000 for the first one, 5100 for the second and so
// on; base is another first port, as PORT in a .env sets it. Commands that name
// a port themselves have that one.
func Procfile(file File, base uint16) []Declared {
	if base == 0 {
		base = foremanPort
	}
	variable := regexp.MustCompile(portVariable)
	var list []Declared
	index := 0
	file.lines(func(number int, line string) {
		name, command, ok := strings.Cut(line, ":")
		if !ok || !processType(name) || index >= maxSettings || len(list) > maxClaims {
			return
		}
		command = strings.TrimSpace(command)
		given := int(base) + index*foremanStep
		index++
		claim := file.claim("Procfile", "PORT", number, line)
		add := func(e Endpoint, column int, doubt string) {
			claim.Network, claim.Address, claim.Port, claim.Path = e.Network, e.Address, e.Port, e.Path
			list = append(list, Declared{Claim: claim, Service: host.Clean([]byte(name), 64), Column: column, Doubt: doubt})
		}
		at := variable.FindStringIndex(line)
		if given > 65535 {
			return
		}
		expanded := variable.ReplaceAllString(command, itoa(uint16(given)))
		named := false
		for _, e := range procfileArguments(expanded) {
			if e.Port == 0 {
				continue
			}
			named = named || int(e.Port) == given
			column := Column(line, e.Port, 0)
			if at != nil && int(e.Port) == given {
				column = utf8.RuneCountInString(line[:at[0]]) + 1
			}
			add(e, column, "")
		}
		switch {
		case named:
		case at != nil:
			add(Endpoint{Network: "tcp", Port: uint16(given)}, utf8.RuneCountInString(line[:at[0]])+1, "")
		case name == "web" && len(list) == 0:
			add(Endpoint{Network: "tcp", Port: uint16(given)}, 1, "the command doesn't name $PORT; a program may read it by itself")
		}
	})
	return list
}

// procfileArguments reads a command line, without variables set before it and
// without what runs the program.
func procfileArguments(command string) []Endpoint {
	args := strings.Fields(command)
	for len(args) > 1 {
		name, _, assigned := strings.Cut(args[0], "=")
		switch {
		case assigned && variableName(name):
		case args[0] == "exec", args[0] == "env", args[0] == "bundle" && args[1] == "exec":
			if args[0] == "bundle" {
				args = args[1:]
			}
		case args[0] == "npx", args[0] == "poetry" && args[1] == "run", args[0] == "pipenv" && args[1] == "run", args[0] == "uv" && args[1] == "run":
			if args[0] != "npx" {
				args = args[1:]
			}
		default:
			if path.Base(args[0]) == "rails" && args[1] != "server" && args[1] != "s" {
				return nil
			}
			return Arguments(args)
		}
		args = args[1:]
	}
	return Arguments(args)
}

func processType(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != ""
}
