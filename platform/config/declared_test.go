package config

import (
	"strings"
	"testing"
)

func TestProcfile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		base       uint16
		want       string
	}{
		{"rails", "web: bundle exec puma -p $PORT\nworker: bundle exec sidekiq\n", 0, "1:26 web tcp :5000\n"},
		{"second type", "worker: celery -A app\nweb: gunicorn -b 0.0.0.0:${PORT} app\n", 0, "2:26 web tcp 0.0.0.0:5100\n"},
		{"base of .env", "web: node server.js --port=${PORT:-3000}\n", 8000, "1:28 web tcp :8000\n"},
		{"own port", "web: FOO=1 exec ./server --port 9999\napi: ./api\n", 0, "1:33 web tcp :9999\n"},
		{"by itself", "web: npm start\nassets: npm run watch\n", 0, "1:1 web tcp :5000 ?\n"},
		{"elsewhere in the command", "web: sh run.sh $PORT\n", 0, "1:16 web tcp :5000\n"},
		{"comment and blank", "# web: x -p 1\n\nweb: ./x -p $PORT\n", 0, "3:13 web tcp :5000\n"},
		{"too high", "a: x $PORT\nb: x $PORT\n", 65500, "1:6 a tcp :65500\n"},
		{"no type", "we b: x -p 1\n: x -p 1\n", 0, ""},
		{"wrapped", "web: poetry run uvicorn app:app --port $PORT\ndocs: npx serve -p 4000\n", 0, "1:40 web tcp :5000\n2:20 docs tcp :4000\n"},
	} {
		got := declared(Procfile(File{Path: "Procfile", Data: []byte(c.text)}, c.base))
		if got != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.name, got, c.want)
		}
	}
}

func TestDotEnv(t *testing.T) {
	const text = `# PORT=1
PORT=3000
export HTTP_PORT="8080"
DB_PORT=5432
DATABASE_URL=postgres://u:secret@localhost:5432/x
REDIS_URL=redis://localhost:6379
APP_URL=http://localhost:3001/path
PUBLIC_URL=https://shop.example:8443
METRICS_ADDR=127.0.0.1:9100 # loopback only
SECRET=hunter2
  PORT = 3002
ADMIN_PORT='9000'
BAD_PORT=70000
LISTEN=[::1]:7000
`
	got := DotEnv(File{Path: ".env", Data: []byte(text)})
	const want = `11:10 PORT tcp :3002 ?
3:19 HTTP_PORT tcp :8080 ?
7:26 APP_URL tcp :3001 ?
9:24 METRICS_ADDR tcp 127.0.0.1:9100 ?
12:13 ADMIN_PORT tcp :9000 ?
14:14 LISTEN tcp ::1:7000 ?
`
	if s := declared(got); s != want {
		t.Errorf("got\n%swant\n%s", s, want)
	}
	for _, d := range got {
		if strings.Contains(d.Text, "=") {
			t.Errorf("a value is kept: %q", d.Text)
		}
	}
	if n := EnvPort(File{Data: []byte(text)}); n != 3002 {
		t.Errorf("EnvPort: %d", n)
	}
	if n := EnvPort(File{Data: []byte("A=1\n")}); n != 0 {
		t.Errorf("EnvPort without one: %d", n)
	}
}

func TestColumn(t *testing.T) {
	for _, c := range []struct {
		line string
		port uint16
		nth  int
		want int
	}{
		{"listen 80;", 80, 0, 8}, {"  listen 8080 80;", 80, 0, 15}, {"\tPort 22", 22, 0, 7}, {"  listen http;", 80, 0, 3}, {"", 80, 0, 1}, {"größe 80", 80, 0, 7}, {"1800 80", 80, 0, 6},
		{"80 80", 80, 1, 4}, {"80 80", 80, 2, 4},
	} {
		if got := Column(c.line, c.port, c.nth); got != c.want {
			t.Errorf("Column(%q, %d) = %d, want %d", c.line, c.port, got, c.want)
		}
	}
}

func FuzzProcfile(f *testing.F) {
	f.Add([]byte("web: bundle exec puma -p $PORT\n"), uint16(0))
	f.Add([]byte("web: ${PORT:-"), uint16(65000))
	f.Fuzz(func(t *testing.T, data []byte, base uint16) {
		for _, d := range Procfile(File{Data: data}, base) {
			if d.Port == 0 || d.Line < 1 || d.Column < 1 {
				t.Errorf("%+v", d)
			}
		}
	})
}

func FuzzDotEnv(f *testing.F) {
	f.Add([]byte("PORT=3000\nAPP_URL=http://localhost:1\n"))
	f.Add([]byte("export A_PORT='"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range DotEnv(File{Data: data}) {
			if d.Port == 0 || d.Line < 1 || d.Column < 1 {
				t.Errorf("%+v", d)
			}
		}
	})
}
