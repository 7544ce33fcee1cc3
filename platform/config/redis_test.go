package config

import "testing"

func TestRedis(t *testing.T) {
	const main = "/etc/redis/redis.conf"
	for _, test := range []struct {
		name string
		in   files
		want []string
	}{
		{"Debian", files{main: "# bind 192.168.1.100 10.0.0.1     # listens on two specific IPv4 addresses\nbind 127.0.0.1 -::1\n# Accept connections on the specified port, default is 6379\nport 6379\n# tls-port 6380\n# port 0\n"},
			[]string{"tcp 127.0.0.1:6379 redis.conf:4", "tcp 127.0.0.1:6379 redis.conf:2", "tcp ::1:6379 redis.conf:4", "tcp ::1:6379 redis.conf:2", "off tcp 127.0.0.1:6380 redis.conf:5"}},
		{"no port", files{main: "port 0\nunixsocket /run/redis/s.sock\nbind 10.0.0.1\n"}, []string{"unix /run/redis/s.sock redis.conf:2"}},
		{"include and TLS", files{main: "PORT 7000\ninclude \"/etc/redis/more.conf\"\n", "/etc/redis/more.conf": "port 7001\ntls-port 7443\n"},
			[]string{"tcp *:7001 more.conf:1", "tcp *:7443 more.conf:2"}},
		{"bind only", files{main: "bind *\n"}, []string{"tcp *:6379 redis.conf:1"}},
		{"bad", files{main: "port\nport x\nbind\nbind -\nunixsocket\n"}, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			expect(t, Redis("redis", "redis-server.service", test.in.file(main), test.in.reader), test.want...)
		})
	}
}

func FuzzRedis(f *testing.F) {
	fuzzReader(f, KindRedis, "bind 127.0.0.1 -::1\nport 6379\n# tls-port 1\nunixsocket /x\ninclude y", "bind -", "port 0")
}
