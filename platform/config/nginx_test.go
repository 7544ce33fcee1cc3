package config

import "testing"

const nginxMain = `user www-data;
events { worker_connections 768; }
http {
	include /etc/nginx/mime.types;
	log_format x '$remote_addr "{" listen 1;';
	map $a $b { default "};"; ${c}d 1; }
	include /etc/nginx/conf.d/*.conf;
	include sites-enabled/*;
	server {
		# nothing said
		location / { return 200 "ok"; }
	}
	server { include snippets/listen.conf; }
}
stream {
	server { listen 5353 udp; proxy_pass 10.0.0.1:53; }
	server {
		proxy_pass unix:/run/x;
	}
}
#mail {
#	server {
#		listen     localhost:110;
#	}
#}
`

func TestNginx(t *testing.T) {
	f := files{
		"/etc/nginx/nginx.conf":            nginxMain,
		"/etc/nginx/mime.types":            "types { text/html html; }",
		"/etc/nginx/sites-enabled/default": "server {\n\tlisten 80 default_server;\n\tlisten [::]:80 default_server ipv6only=on;\n\t# listen 443 ssl;\n\t# listen is a word of prose\n\tlisten unix:/run/nginx.sock;\n}\n",
		"/etc/nginx/sites-enabled/many":    "server { listen 10.0.0.1:8000-8002; listen localhost; listen\n  443\n  quic; listen [::1]; }\nserver{listen 8081;}server{listen 8082;listen $port;listen :99999;listen;}",
		"/etc/nginx/snippets/listen.conf":  "listen 8443 ssl;",
	}
	expect(t, Nginx(f.file("/etc/nginx/nginx.conf"), f.reader),
		"tcp *:80 default:2", "tcp :::80 default:3", "off tcp *:443 default:4", "unix /run/nginx.sock default:6",
		"tcp 10.0.0.1:8000 many:1", "tcp 10.0.0.1:8001 many:1", "tcp 10.0.0.1:8002 many:1", "tcp localhost:80 many:1",
		"udp *:443 many:1", "tcp ::1:80 many:3", "tcp *:8081 many:4", "tcp *:8082 many:4",
		"tcp *:80 nginx.conf:9", "tcp *:8443 listen.conf:1", "udp *:5353 nginx.conf:16", "off tcp localhost:110 nginx.conf:23")
}

func TestNginxSite(t *testing.T) {
	f := files{"/etc/nginx/sites-available/off": "server { listen 81; }\nserver { root /x; }\n"}
	expect(t, NginxSite(f.file("/etc/nginx/sites-available/off")), "off tcp *:81 off:1", "off tcp *:80 off:2")
}

func FuzzNginx(f *testing.F) {
	fuzzReader(f, KindNginx, nginxMain, "server { listen 80; include *; }", "http{server{}}", "listen 'a\\", "listen ${a", "# listen 1-9;")
}
