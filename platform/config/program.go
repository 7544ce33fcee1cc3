package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Kind is a syntax that this package reads.
type Kind string

// The kinds, by the program that reads the file.
const (
	KindNginx      Kind = "nginx"
	KindApache     Kind = "apache"
	KindSSH        Kind = "sshd"
	KindPostgreSQL Kind = "postgresql"
	KindRedis      Kind = "redis"
	KindValkey     Kind = "valkey"
	KindMySQL      Kind = "mysql"
	KindHAProxy    Kind = "haproxy"
	KindSquid      Kind = "squid"
	KindMemcached  Kind = "memcached"
	KindDnsmasq    Kind = "dnsmasq"
)

// Read reads a main configuration file. A unit, if one is given, stands in the
// claims instead of the usual one.
func Read(kind Kind, main File, read Reader, unit string) []host.Claim {
	claims := parse(kind, main, read)
	if unit != "" {
		for i := range claims {
			claims[i].Unit = host.Clean([]byte(unit), 255)
		}
	}
	return claims
}

func parse(kind Kind, main File, read Reader) []host.Claim {
	switch kind {
	case KindNginx:
		return Nginx(main, read)
	case KindApache:
		return Apache(main, read, path.Dir(main.Path))
	case KindSSH:
		return SSH(main, read)
	case KindPostgreSQL:
		return PostgreSQL(main, read)
	case KindRedis:
		return Redis("redis", "redis-server.service", main, read)
	case KindValkey:
		return Redis("valkey", "valkey-server.service", main, read)
	case KindMySQL:
		return MySQL(main, read)
	case KindHAProxy:
		return HAProxy(main)
	case KindSquid:
		return Squid(main, read)
	case KindMemcached:
		return Memcached(main)
	case KindDnsmasq:
		return Dnsmasq(main, read)
	}
	return nil
}

// MainFile tells which configuration file a command line names, if it is one of
// a program whose configuration this package reads. The path may be relative to
// the process's directory. Titles that nginx, sshd and PostgreSQL write over
// their own command line are understood.
func MainFile(args []string) (Kind, string) {
	args = unwrap(args)
	if len(args) == 0 {
		return "", ""
	}
	// "nginx: master process nginx -c x.conf", "sshd: /usr/sbin/sshd -D [listener]"
	if title, rest, ok := strings.Cut(args[0], ": "); ok && (title == "nginx" || title == "sshd") {
		args = strings.Fields(strings.TrimPrefix(rest, "master process "))
		if len(args) == 0 {
			return "", ""
		}
	}
	value := func(options ...string) string {
		for i, arg := range args[1:] {
			for _, option := range options {
				rest, ok := strings.CutPrefix(arg, option)
				switch {
				case !ok:
				case rest == "" && i+2 < len(args):
					return args[i+2]
				case strings.HasPrefix(rest, "="):
					return rest[1:]
				case len(option) == 2 && rest != "":
					return rest
				}
			}
		}
		return ""
	}
	switch base := path.Base(args[0]); base {
	case "nginx":
		file := value("-c")
		if prefix := value("-p"); prefix != "" && file != "" && !path.IsAbs(file) {
			file = path.Join(prefix, file)
		}
		return KindNginx, file
	case "apache2", "httpd":
		file := value("-f")
		if root := value("-d"); root != "" && file != "" && !path.IsAbs(file) {
			file = path.Join(root, file)
		}
		return KindApache, file
	case "sshd":
		return KindSSH, value("-f")
	case "postgres", "postmaster":
		if file := value("--config-file", "--config_file"); file != "" {
			return KindPostgreSQL, file
		}
		for _, arg := range args[1:] {
			if file, ok := strings.CutPrefix(arg, "config_file="); ok {
				return KindPostgreSQL, file
			}
		}
		if data := value("-D"); data != "" {
			return KindPostgreSQL, path.Join(data, "postgresql.conf")
		}
	case "redis-server", "valkey-server", "keydb-server":
		kind := KindRedis
		if base == "valkey-server" {
			kind = KindValkey
		}
		if len(args) > 1 && !strings.HasPrefix(args[1], "-") && strings.ContainsAny(args[1], "/.") && !strings.ContainsAny(args[1], ": *") {
			return kind, args[1]
		}
		return kind, ""
	case "mysqld", "mariadbd":
		return KindMySQL, value("--defaults-file")
	case "haproxy":
		return KindHAProxy, value("-f")
	case "squid":
		return KindSquid, value("-f")
	case "dnsmasq":
		return KindDnsmasq, value("-C", "--conf-file")
	}
	return "", ""
}
