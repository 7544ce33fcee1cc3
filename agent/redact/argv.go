package redact

import (
	"path"
	"strings"
	"sync"
)

// shortOptions are options of one letter that take a secret, by program. A
// letter followed by ! takes it only as a part of its own argument (-pSECRET).
var shortOptions = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"mysql": "p!", "mysqldump": "p!", "mysqladmin": "p!", "mysqlimport": "p!", "mysqlshow": "p!", "mysqlcheck": "p!", "mysqlslap": "p!", "mysqlbinlog": "p!",
		"mariadb": "p!", "mariadb-dump": "p!", "mariadb-admin": "p!", "mycli": "p!",
		"redis-cli": "a", "valkey-cli": "a", "redis-benchmark": "a", "keydb-cli": "a", "sshpass": "p", "ssh-keygen": "NP", "mongo": "p", "mongosh": "p", "mongodump": "p", "mongorestore": "p", "mongoexport": "p",
		"mosquitto_pub": "P", "mosquitto_sub": "P", "mosquitto_rr": "P", "ldapsearch": "w", "ldapmodify": "w", "ldapadd": "w", "ldapwhoami": "w", "ldappasswd": "was",
		"ipmitool": "P", "snmpwalk": "cAX", "snmpget": "cAX", "snmpset": "cAX", "snmpbulkwalk": "cAX", "sqlcmd": "P", "bcp": "P", "isql": "P", "tsql": "P",
		"login": "p", "zip": "P", "unzip": "P", "7z": "p!", "7za": "p!", "rar": "p!", "lftp": "u",
		"curl": "uUHb", "http": "a", "https": "a", "ab": "APC", "hey": "a", "wrk": "H", "smbclient": "U", "rpcclient": "U", "net": "U",
		"influx": "t", "cqlsh": "p", "rabbitmqadmin": "p", "nsupdate": "y", "dig": "y",
		"openssl": "kK", "frpc": "t", "frps": "t",
		"rdesktop": "p", "net-snmp": "c", "freetds": "P", "ss-local": "k", "ss-server": "k",
		"ss-redir": "k", "ss-tunnel": "k", "ssserver": "k", "sslocal": "k", "iodine": "P", "iodined": "P", "hydra": "p",
	}
})

// argument finds the secrets of each argument of a command line: what stands
// behind an option that takes one, and what a text is looked through for.
func (f *finder) arguments(args []string) [][]found {
	out := make([][]found, len(args))
	program := ""
	if len(args) > 0 {
		program = strings.TrimSuffix(path.Base(args[0]), ":")
	}
	for i, arg := range args {
		out[i] = f.in(arg)
		if i == 0 {
			continue
		}
		if whole := f.afterOption(program, args[i-1], arg); whole {
			out[i] = append(out[i], secretOf(program, args[i-1], arg))
		} else if from := joined(program, arg); from > 0 {
			out[i] = append(out[i], secretOf(program, arg[:from], arg[from:]).moved(from))
		}
		out[i] = f.script(arg, out[i])
		switch {
		case arg == "login" && i == 1: // of docker, podman, helm, az, …
			program = arg
		case !strings.HasPrefix(arg, "-") && (program == "sudo" || program == "env" || program == "sh" || program == "bash" || program == "docker-entrypoint.sh" || program == "sshpass"):
			if _, known := shortOptions()[path.Base(arg)]; known {
				program = path.Base(arg)
			}
		}
	}
	return out
}

func (x found) moved(n int) found {
	x.from, x.to = x.from+n, x.to+n
	return x
}

// script looks through an argument that is itself a command line, as of sh -c.
func (f *finder) script(arg string, list []found) []found {
	if strings.IndexByte(arg, ' ') < 0 || len(arg) > 64<<10 {
		return list
	}
	program, last := "", ""
	for from, to := range words(arg) {
		word := strings.Trim(arg[from:to], ";|&()")
		_, known := shortOptions()[path.Base(word)]
		switch {
		case known && !strings.HasPrefix(word, "-"):
			program = path.Base(word)
		case f.afterOption(program, last, word):
			list = append(list, secretOf(program, last, arg[from:to]).moved(from))
		default:
			if n := joined(program, word); n > 0 {
				list = append(list, secretOf(program, word[:n], arg[from+n:to]).moved(from+n))
			}
		}
		last = word
	}
	return list
}

// afterOption reports whether an argument is the secret of the option before it.
func (f *finder) afterOption(program, option, arg string) bool {
	if len(option) < 2 || arg == "" || strings.HasPrefix(arg, "--") {
		return false
	}
	if option[0] != '-' {
		// As of pppd: user joe password SECRET.
		return secretKey(option) == valueKey && unlikeWords(arg) && !harmless(arg)
	}
	if option[1] != '-' && len(option) == 2 {
		letters := shortOptions()[program]
		i := strings.IndexByte(letters, option[1])
		return i >= 0 && !strings.HasPrefix(letters[i+1:], "!") && !harmless(arg)
	}
	if strings.ContainsAny(option, "=:") {
		return false
	}
	name := strings.TrimLeft(option, "-")
	switch strings.ToLower(name) {
	case "user", "proxy-user", "u":
		return strings.Contains(arg, ":") && (program == "curl" || program == "lftp")
	case "auth", "passin", "passout", "key-secret", "psk", "pass":
		return !harmless(arg)
	}
	return secretKey(name) != plainKey && !harmless(arg)
}

// joined is where in an argument the secret of an option begins that is written
// in one with it: -pSECRET. What has an equals sign is found as a text is.
func joined(program, arg string) int {
	if len(arg) < 3 || arg[0] != '-' || arg[1] == '-' || arg[2] == '=' {
		return 0
	}
	if strings.IndexByte(shortOptions()[program], arg[1]) < 0 || program == "openssl" || harmless(arg[2:]) {
		return 0
	}
	return 2
}

// secretOf is what of an option's value is secret: all of it, what is behind
// user: or user%, or a header's value if the header holds one.
func secretOf(program, option, value string) found {
	letter := strings.TrimLeft(option, "-")
	whole := found{0, len(value), byName}
	switch {
	case letter == "H" || letter == "header":
		name, _, ok := strings.Cut(value, ":")
		if !ok || secretKey(strings.TrimSpace(name)) == plainKey {
			return found{}
		}
		whole.from, whole.to = headerValue(value, len(name))
		return whole
	case letter == "u" || letter == "U" || letter == "user" || letter == "proxy-user" || letter == "auth" || letter == "a" && program != "redis-cli" && program != "valkey-cli":
		if i := strings.IndexAny(value, ":%,"); i >= 0 {
			whole.from = i + 1
		} else if program == "curl" || program == "smbclient" || program == "rpcclient" || program == "net" || program == "lftp" {
			return found{}
		}
	case program == "openssl" && strings.HasPrefix(value, "pass:"):
		whole.from = len("pass:")
	}
	return whole
}
