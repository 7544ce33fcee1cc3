package config

import "testing"

const haproxyConfig = `global
	stats socket /run/haproxy/admin.sock mode 660
frontend www
	bind *:80
	bind :443,10.0.0.1:8443 ssl crt /etc/x.pem
	bind [::]:81 v4v6
	bind ipv6@:::82
	bind "127.0.0.1:83"
	bind :8000-8002
	bind /run/h.sock mode 600
	bind unix@/run/i.sock
	bind abns@name
	bind quic4@:443 ssl
	bind $HOST:84
	bind fd@${FD}
	bind :0
	bind
	# bind :9000
listen stats :1936
listen other
backend b
	server s 10.0.0.9:99
`

func TestHAProxy(t *testing.T) {
	expect(t, HAProxy(File{Path: "/etc/haproxy/haproxy.cfg", Data: []byte(haproxyConfig)}),
		"tcp *:80 haproxy.cfg:4", "tcp *:443 haproxy.cfg:5", "tcp 10.0.0.1:8443 haproxy.cfg:5", "tcp :::81 haproxy.cfg:6", "tcp :::82 haproxy.cfg:7",
		"tcp 127.0.0.1:83 haproxy.cfg:8", "tcp *:8000 haproxy.cfg:9", "tcp *:8001 haproxy.cfg:9", "tcp *:8002 haproxy.cfg:9",
		"unix /run/h.sock haproxy.cfg:10", "unix /run/i.sock haproxy.cfg:11", "unix @name haproxy.cfg:12", "udp *:443 haproxy.cfg:13",
		"off tcp *:9000 haproxy.cfg:18", "tcp *:1936 haproxy.cfg:19")
}

func FuzzHAProxy(f *testing.F) {
	fuzzReader(f, KindHAProxy, haproxyConfig, "bind [", "bind unix@", "listen a b:1-")
}
