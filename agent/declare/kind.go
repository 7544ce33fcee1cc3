package declare

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/platform/config"
)

// The kinds beside those of servers' configurations, which have the names of
// package config.
const (
	Compose    = "compose"
	Kubernetes = "kubernetes"
	Systemd    = "systemd"
	Procfile   = "procfile"
	Env        = "env"
)

var servers = []config.Kind{config.KindNginx, config.KindApache, config.KindSSH, config.KindPostgreSQL, config.KindRedis, config.KindValkey,
	config.KindMySQL, config.KindHAProxy, config.KindSquid, config.KindMemcached, config.KindDnsmasq}

// Kinds are what --kind takes.
func Kinds() []string {
	kinds := []string{Compose, Kubernetes, Systemd, Procfile, Env}
	for _, k := range servers {
		kinds = append(kinds, string(k))
	}
	return kinds
}

// byName are patterns of file names, in order.
var byName = []struct{ pattern, kind string }{
	{"compose*.y*ml", Compose}, {"docker-compose*.y*ml", Compose}, {"*compose.y*ml", Compose}, {"podman-compose*.y*ml", Compose},
	{"*.socket", Systemd}, {"*.service", Systemd}, {"Procfile*", Procfile}, {".env", Env}, {".env.*", Env}, {"*.env", Env},
	{"nginx*.conf", "nginx"}, {"httpd.conf", "apache"}, {"apache2.conf", "apache"}, {"ports.conf", "apache"}, {"sshd_config", "sshd"}, {"postgresql*.conf", "postgresql"},
	{"redis*.conf", "redis"}, {"valkey*.conf", "valkey"}, {"my.cnf", "mysql"}, {"haproxy.cfg", "haproxy"}, {"squid.conf", "squid"},
	{"memcached.conf", "memcached"}, {"dnsmasq.conf", "dnsmasq"},
}

// byContent are what only one kind has, as a line begins. YAML comes first: a
// manifest may hold the configuration of anything. They are compiled when they
// are needed: most runs of the program read no file.
var byContent = []struct{ line, kind string }{
	{`(?m)^"?apiVersion"?:|^\s*\{?\s*"apiVersion"\s*:`, Kubernetes},
	{`(?m)^(services|include):|^\s*\{?\s*"services"\s*:`, Compose},
	{`(?m)^\[(Socket|Unit)\]\s*$`, Systemd},
	{`(?m)^\s*(server|http|stream|events)\s*\{`, "nginx"},
	{`(?mi)^\s*(<VirtualHost\s|Listen\s+\S+\s*(https?)?\s*$|ServerRoot\s)`, "apache"},
	{`(?m)^\s*(listen_addresses|shared_buffers|max_connections)\s*=`, "postgresql"},
	{`(?m)^(appendonly|tcp-backlog|protected-mode)\s`, "redis"},
	{`(?m)^(PermitRootLogin|AuthorizedKeysFile|PasswordAuthentication|HostKey)\s`, "sshd"},
	{`(?m)^(frontend|backend|listen)\s+\S+\s*$`, "haproxy"},
	{`(?m)^\[mysqld\]`, "mysql"},
}

// kindOf recognises a file; empty: it is of no known kind.
func kindOf(name string, data []byte) string {
	base := path.Base(name)
	for _, n := range byName {
		if ok, err := path.Match(n.pattern, base); err == nil && ok {
			return n.kind
		}
	}
	head := data[:min(len(data), 256<<10)]
	if bytes.IndexByte(head, 0) >= 0 {
		return ""
	}
	for _, c := range byContent {
		if regexp.MustCompile(c.line).Match(head) {
			return c.kind
		}
	}
	if lower := strings.ToLower(base); slices.Contains([]string{"default", "sites-enabled", "conf.d"}, lower) {
		return "nginx"
	}
	return ""
}
