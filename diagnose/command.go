package diagnose

import (
	"slices"
	"strings"
)

// started are all that the commands of fixes start.
var started = []string{"arptables", "arptables-legacy", "arptables-nft", "bridge", "conntrack", "cscli", "csf", "docker", "ebtables", "ebtables-legacy", "ebtables-nft",
	"fail2ban-client", "firewall-cmd", "ip", "ip6tables", "ip6tables-legacy", "ip6tables-nft", "ipset", "iptables", "iptables-legacy", "iptables-nft", "kill", "net",
	"nft", "nsenter", "podman", "portwhy", "prlimit", "rm", "semanage", "ss", "sysctl", "systemctl", "tc", "ufw", "wg-quick"}

// options are all that the commands of fixes have, but for those of iptables,
// which come from the texts of rules, too. One that ends in = has a value.
var options = []string{"-4", "-6", "-CONT", "-D", "-K", "-STOP", "-a", "-d", "-dr", "-f", "-p", "-t", "-u", "-w",
	"--add-port=", "--add-rich-rule=", "--ip", "--machine=", "--net=", "--nofile=", "--now", "--orig-dst", "--orig-port-dst", "--orig-port-src", "--orig-src",
	"--permanent", "--pid", "--policy=", "--remove-port=", "--remove-rich-rule=", "--user", "--zone="}

// Guarded is the fix without its commands if a name from outside isn't taken as a
// name there: one that begins as an option does, a table of nftables whose name
// goes on with a command, a program that no fix starts. A recording, a container or
// a user's own units can have such names.
func (f Fix) Guarded() Fix {
	for _, argv := range slices.Concat(f.Commands, f.Undo) {
		if !takenAsMeant(argv) {
			f.Commands, f.Undo = nil, nil
			f.Title += " by hand: it has a name that a command would take for something else"
			return f
		}
	}
	return f
}

func takenAsMeant(argv []string) bool {
	if len(argv) > 2 && argv[0] == "nsenter" && strings.HasPrefix(argv[1], "--net=/") {
		argv = argv[2:]
	}
	if len(argv) == 0 || !slices.Contains(started, argv[0]) || slices.Contains(argv, "") {
		return false
	}
	switch {
	case (argv[0] == "nft" || argv[0] == "portwhy") && len(argv) > 5:
		// Family, table, and chain or set; then an element of the set, or our own words.
		return identifier(argv[4]) && identifier(argv[5]) &&
			(argv[2] != "element" || len(argv) == 7 && !strings.ContainsAny(strings.TrimSuffix(argv[6], "}"), ";}\n"))
	case strings.Contains(argv[0], "tables"):
		// What stands behind an option that wants a value is the value.
		return true
	}
	for _, word := range argv[1:] {
		if word == "--" {
			break
		}
		if strings.HasPrefix(word, "-") && !known(word) {
			return false
		}
	}
	return true
}

// identifier reports whether nft takes a word as a name; it reads its words as one
// text, where anything else could begin a command of its own (nft's scanner.l: string).
func identifier(word string) bool {
	for i, c := range []byte(word) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '.':
		case i > 0 && (c >= '0' && c <= '9' || c == '/' || c == '-'):
		default:
			return false
		}
	}
	return word != ""
}

func known(option string) bool {
	name, _, valued := strings.Cut(option, "=")
	if valued {
		name += "="
	}
	return slices.Contains(options, name)
}
