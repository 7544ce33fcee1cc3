package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

func showEndpoints(list []Endpoint) string {
	var parts []string
	for _, e := range list {
		where := fmt.Sprintf("%s:%d", e.Address, e.Port)
		if e.Path != "" {
			where = e.Path
		}
		parts = append(parts, e.Network+" "+where)
	}
	return strings.Join(parts, ", ")
}

func TestArguments(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"/usr/bin/python3 -m http.server 8080", "tcp :8080"},
		{"python3 -m http.server", "tcp :8000"},
		{"python3 -m http.server --bind 127.0.0.1 8081", "tcp 127.0.0.1:8081"},
		{"/usr/bin/prometheus --web.listen-address=:9090 --storage.tsdb.path=/x", "tcp *:9090"},
		{"node_exporter --web.listen-address 10.0.0.1:9100", "tcp 10.0.0.1:9100"},
		{"app --port 8080 --host 0.0.0.0", "tcp 0.0.0.0:8080"},
		{"app --port=8080", "tcp :8080"},
		{"app -p 8080", "tcp :8080"},
		{"app -p8080", "tcp :8080"},
		{"java -jar x.jar --server.port=8443", "tcp :8443"},
		{"gunicorn -b 0.0.0.0:8000 app:app", "tcp 0.0.0.0:8000"},
		{"gunicorn -b [::]:8000 -w 4 app:app", "tcp :::8000"},
		{"gunicorn --bind unix:/run/g.sock app:app", "unix /run/g.sock"},
		{"uvicorn app:app --host 127.0.0.1 --port 8001", "tcp 127.0.0.1:8001"},
		{"php -S localhost:8002", "tcp localhost:8002"},
		{"caddy run --addr :2019", "tcp *:2019"},
		{"app :8080", "tcp *:8080"},
		{"app 127.0.0.1:8080", "tcp 127.0.0.1:8080"},
		{"dotnet x.dll --urls http://0.0.0.0:5000;https://localhost:5001/x", "tcp 0.0.0.0:5000, tcp localhost:5001"},
		{"dockerd -H fd:// -H tcp://0.0.0.0:2375 -H unix:///run/d.sock", "tcp 0.0.0.0:2375, unix /run/d.sock"},
		{"docker run --rm -p 8080:80 -p 127.0.0.1:5353:53/udp --publish=9000-9001:9000-9001 -p 81 nginx :1", "tcp *:8080, udp 127.0.0.1:5353, tcp *:9000, tcp *:9001"},
		{"docker run -p [::1]:8080:80 x", "tcp ::1:8080"},
		{"docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8088 -container-ip 172.17.0.2 -container-port 80", "tcp 0.0.0.0:8088"},
		{"socat TCP-LISTEN:8181,fork,reuseaddr,bind=127.0.0.1 TCP:10.0.0.2:80", "tcp 127.0.0.1:8181"},
		{"socat UDP4-RECV:53 -", "udp *:53"},
		{"socat UNIX-LISTEN:/run/s.sock,fork TCP6-LISTEN:1", "unix /run/s.sock, tcp *:1"},
		{"socat TCP:1.2.3.4:80 STDIO", ""},
		{"nc -l 8080", "tcp :8080"},
		{"nc -lk -p 8080", "tcp :8080"},
		{"nc -lup 8080", "udp :8080"},
		{"nc -l 127.0.0.1 8080", "tcp 127.0.0.1:8080"},
		{"nc example.org 80", ""},
		{"ssh -N -L 8080:db:5432 gate", "tcp localhost:8080"},
		{"ssh -L*:8080:db:5432 -D 1080 gate", "tcp *:8080, tcp localhost:1080"},
		{"ssh -L [::1]:8080:[2001:db8::1]:80 -L /run/x:db:1 gate", "tcp ::1:8080, unix /run/x"},
		{"ssh -p 2222 gate", ""},
		{"sshd -D -p 2222", "tcp :2222"},
		{"/bin/sh -c /bin/app --port 81", ""},
		{"env -i /usr/bin/app --port 82", "tcp :82"},
		{"proxy --upstream 127.0.0.1:9000 --db-port 5432 --remote-addr 10.0.0.1:1 --redis.address=:6379", ""},
		{"app db1:5432 --export 80 --target-port 81 --metrics-bind-address=:8081", "tcp *:8081"},
		{"curl localhost:80", ""},
		{"psql -p 5433", ""},
		{"app --port", ""},
		{"app --port --verbose", ""},
		{"app --port 0 --port 65536 --port x --port=", ""},
		{"app -- - --", ""},
		{"app", ""},
		{"", ""},
	} {
		if got := showEndpoints(Arguments(strings.Fields(test.in))); got != test.want {
			t.Errorf("Arguments(%q) = %q, want %q", test.in, got, test.want)
		}
	}
	if got := showEndpoints(Arguments([]string{"/bin/sh", "-c", "exec app --port 81"})); got != "tcp :81" {
		t.Errorf("of a shell: %q", got)
	}
}

func TestVariable(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"PORT", "8080", "tcp :8080"},
		{"HTTP_PORT", "8080", "tcp :8080"},
		{"LISTEN_ADDR", "127.0.0.1:8080", "tcp 127.0.0.1:8080"},
		{"BIND", "unix:/run/x.sock", "unix /run/x.sock"},
		{"ASPNETCORE_URLS", "http://+:80;https://*:443", "tcp *:80, tcp *:443"},
		{"GRPC_ADDRESS", "[::]:50051", "tcp :::50051"},
		{"DB_PORT", "5432", ""},
		{"PGPORT", "5432", ""},
		{"REDIS_ADDR", "localhost:6379", ""},
		{"HOST", "10.0.0.1", ""},
		{"PORT", "http", ""},
		{"PORT", "", ""},
		{"SUPPORT", "1", ""},
		{"EXPORT", "80", ""},
	} {
		if got := showEndpoints(Variable(test.name, test.value)); got != test.want {
			t.Errorf("%s=%s: %q, want %q", test.name, test.value, got, test.want)
		}
	}
}

func TestMainFile(t *testing.T) {
	for _, test := range []struct {
		in, file string
		kind     Kind
	}{
		{"/usr/sbin/nginx -g daemon -c /x/nginx.conf", "/x/nginx.conf", KindNginx},
		{"nginx -p /srv -c conf/n.conf", "/srv/conf/n.conf", KindNginx},
		{"nginx -c", "", KindNginx},
		{"/usr/sbin/sshd -D -f /tmp/c", "/tmp/c", KindSSH},
		{"sshd -f/tmp/c", "/tmp/c", KindSSH},
		{"apache2 -d /srv/a -f my.conf", "/srv/a/my.conf", KindApache},
		{"/usr/lib/postgresql/15/bin/postgres -D /data -c config_file=/etc/p.conf", "/etc/p.conf", KindPostgreSQL},
		{"postgres -D /data", "/data/postgresql.conf", KindPostgreSQL},
		{"postgres --config-file=/x", "/x", KindPostgreSQL},
		{"postgres", "", ""},
		{"redis-server /etc/redis/redis.conf --supervised systemd", "/etc/redis/redis.conf", KindRedis},
		{"redis-server *:6379", "", KindRedis},
		{"redis-server 127.0.0.1:6379", "", KindRedis},
		{"redis-server --port 1", "", KindRedis},
		{"valkey-server ./v.conf", "./v.conf", KindValkey},
		{"mysqld --defaults-file=/m.cnf", "/m.cnf", KindMySQL},
		{"haproxy -Ws -f /etc/h.cfg -p /run/h.pid", "/etc/h.cfg", KindHAProxy},
		{"squid -f /s.conf", "/s.conf", KindSquid},
		{"dnsmasq -C /d.conf", "/d.conf", KindDnsmasq},
		{"dnsmasq --conf-file=/d.conf", "/d.conf", KindDnsmasq},
		{"vi /etc/nginx/nginx.conf", "", ""},
		{"", "", ""},
	} {
		kind, file := MainFile(strings.Fields(test.in))
		if kind != test.kind || file != test.file {
			t.Errorf("MainFile(%q) = %q, %q; want %q, %q", test.in, kind, file, test.kind, test.file)
		}
	}
	// What servers write over their own command lines.
	for title, want := range map[string]string{
		"nginx: master process nginx -c /x.conf":                        "/x.conf",
		"sshd: /usr/sbin/sshd -D -f /y [listener] 0 of 10-100 startups": "/y",
		"nginx: worker process":                                         "",
		"sshd: ":                                                        "",
	} {
		if _, file := MainFile([]string{title}); file != want {
			t.Errorf("MainFile(%q) = %q, want %q", title, file, want)
		}
	}
}

func FuzzArguments(f *testing.F) {
	for _, seed := range []string{"nc -lp 1", "ssh -L [::1]:1:a:2", "docker run -p 1:2/udp", "socat TCP-L:1,bind=[::1]", "a --listen=[", "python -m http.server", "sh -c a", "nginx: master process nginx -c x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		MainFile(args)
		for _, e := range append(Arguments(args), Variable("PORT", line)...) {
			if e.Port == 0 && e.Path == "" || !slices.Contains([]string{"tcp", "udp", "unix"}, e.Network) {
				t.Fatalf("%+v", e)
			}
			if e.Address != host.Clean([]byte(e.Address), 255) || e.Path != host.Clean([]byte(e.Path), 259) {
				t.Fatalf("not clean: %+v", e)
			}
		}
	})
}
