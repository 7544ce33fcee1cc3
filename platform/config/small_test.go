package config

import "testing"

func TestSquid(t *testing.T) {
	f := files{
		"/etc/squid/squid.conf":    "# http_port 3129\nhttp_port 3128 intercept\nhttp_port 10.0.0.1:8080\nhttps_port [::]:3130 cert=/x\nsnmp_port 3401\ninclude /etc/squid/conf.d/*.conf\nhttp_port\nhttp_port 0\nhttp_port name\n",
		"/etc/squid/conf.d/a.conf": "http_port 3131\n",
	}
	expect(t, Squid(f.file("/etc/squid/squid.conf"), f.reader),
		"off tcp *:3129 squid.conf:1", "tcp *:3128 squid.conf:2", "tcp 10.0.0.1:8080 squid.conf:3", "tcp :::3130 squid.conf:4", "udp *:3401 squid.conf:5", "tcp *:3131 a.conf:1")
}

func TestMemcached(t *testing.T) {
	const debian = "# Default connection port is 11211\n-p 11212\n#-U 0\n# -U 11211\n-l 127.0.0.1\n-l ::1,10.0.0.1:11300\n-u memcache\n-p\n-p x\n"
	expect(t, Memcached(File{Path: "/etc/memcached.conf", Data: []byte(debian)}),
		"tcp 127.0.0.1:11212 memcached.conf:5", "tcp ::1:11212 memcached.conf:6", "tcp 10.0.0.1:11300 memcached.conf:6",
		"tcp 127.0.0.1:11212 memcached.conf:2", "tcp ::1:11212 memcached.conf:2", "tcp 10.0.0.1:11212 memcached.conf:2",
		"off udp 127.0.0.1:11211 memcached.conf:4", "off udp ::1:11211 memcached.conf:4", "off udp 10.0.0.1:11211 memcached.conf:4")
	expect(t, Memcached(File{Path: "/m", Data: []byte("-s /run/m.sock\n--port=1\n")}), "unix /run/m.sock m:1", "tcp *:1 m:2")
}

func TestDnsmasq(t *testing.T) {
	f := files{
		"/etc/dnsmasq.conf":  "#port=5353\nlisten-address=127.0.0.1 # here\nconf-dir=/etc/dnsmasq.d/,*.conf\nconf-file=/etc/more\nport=x\nport\n",
		"/etc/dnsmasq.d/one": "port=5300\n",
		"/etc/more":          "listen-address=::1,10.0.0.1\n",
	}
	expect(t, Dnsmasq(f.file("/etc/dnsmasq.conf"), f.reader),
		"udp 127.0.0.1:5300 dnsmasq.conf:2", "tcp 127.0.0.1:5300 dnsmasq.conf:2", "udp ::1:5300 more:1", "tcp ::1:5300 more:1", "udp 10.0.0.1:5300 more:1", "tcp 10.0.0.1:5300 more:1",
		"off udp 127.0.0.1:5353 dnsmasq.conf:1", "off tcp 127.0.0.1:5353 dnsmasq.conf:1", "off udp ::1:5353 dnsmasq.conf:1", "off tcp ::1:5353 dnsmasq.conf:1", "off udp 10.0.0.1:5353 dnsmasq.conf:1", "off tcp 10.0.0.1:5353 dnsmasq.conf:1",
		"udp 127.0.0.1:5300 one:1", "tcp 127.0.0.1:5300 one:1", "udp ::1:5300 one:1", "tcp ::1:5300 one:1", "udp 10.0.0.1:5300 one:1", "tcp 10.0.0.1:5300 one:1")
}

func FuzzSquid(f *testing.F)     { fuzzReader(f, KindSquid, "http_port 1\n# https_port a:2\ninclude x") }
func FuzzMemcached(f *testing.F) { fuzzReader(f, KindMemcached, "-p 1\n-l a:2,b\n-U 3\n-s /x\n#-p 4") }
func FuzzDnsmasq(f *testing.F) {
	fuzzReader(f, KindDnsmasq, "port=1\nlisten-address=a,b\nconf-dir=/x\nconf-file=y\n#port=2")
}
