package declare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// write makes files in a new directory and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// told writes a result, without the directory.
func told(dir string, r Result) string {
	var b strings.Builder
	for _, d := range r.Declared {
		address := d.Named
		if d.Address.IsValid() {
			address = d.Address.String()
		}
		fmt.Fprintf(&b, "%s:%d:%d %s %s %s %s:%s", d.File, d.Line, d.Column, d.Kind, d.Service, d.Network, address, d.Ports)
		if d.Any {
			b.WriteString(" any")
		}
		if d.Doubt != "" {
			b.WriteString(" ?")
		}
		b.WriteByte('\n')
	}
	for _, u := range r.Unknown {
		kind := "unknown"
		if u.Note {
			kind = "note"
		}
		fmt.Fprintf(&b, "%s:%d:%d %s: %s\n", u.File, u.Line, u.Column, kind, u.Title)
	}
	for _, l := range r.Limits {
		fmt.Fprintf(&b, "limit: %s: %s\n", l.What, l.Why)
	}
	return strings.ReplaceAll(strings.ReplaceAll(b.String(), dir+"/", ""), dir, "DIR")
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		read  []string
		o     Options
		want  string
	}{
		{name: "compose directory with its override", read: []string{"."}, files: map[string]string{
			"docker-compose.yml": "services:\n  web:\n    image: w\n    ports: ['8080:80']\n", "docker-compose.override.yml": "services:\n  web:\n    ports: ['9229:9229']\n"},
			want: "docker-compose.yml:4:13 compose web tcp :8080\ndocker-compose.override.yml:3:13 compose web tcp :9229\n"},
		{name: "compose files given one by one", read: []string{"compose.yaml", "compose.prod.yaml"}, files: map[string]string{
			"compose.yaml": "services:\n  web:\n    image: w\n    ports: ['8080:80']\n", "compose.override.yaml": "services:\n  web:\n    ports: ['1:1']\n",
			"compose.prod.yaml": "services:\n  web:\n    ports: !override ['80:80']\n"},
			want: "compose.prod.yaml:3:23 compose web tcp :80\n"},
		{name: "two projects", read: []string{"a/compose.yaml", "b/compose.yaml"}, files: map[string]string{
			"a/compose.yaml": "services:\n  web:\n    image: w\n    ports: ['8080:80']\n", "b/compose.yaml": "services:\n  web:\n    image: w\n    ports: ['8080-8090:80']\n"},
			want: "a/compose.yaml:4:13 compose web tcp :8080\nb/compose.yaml:4:13 compose web tcp :8080-8090 any\n"},
		{name: "modes", read: []string{"compose.yaml"}, files: map[string]string{"compose.yaml": `services:
  a: {image: a, network_mode: host, ports: ["1:2"]}
  b: {image: b, network_mode: host, expose: [3], command: --port 4, environment: {HTTP_PORT: 5, DB_PORT: 6}}
  c: {image: c, network_mode: host}
  d: {image: d, network_mode: "service:a", ports: ["7:7"]}
  e: {image: e, network_mode: none}
  f: {image: f, profiles: [x], ports: ["8:8"]}
  g: {image: g, scale: 0, ports: ["9:9"]}
  h: {image: h, ports: ["${X}:10", "${X}11:11"]}
`},
			want: "compose.yaml:2:45 compose a tcp :2 ?\ncompose.yaml:3:31 compose b tcp :4 ?\ncompose.yaml:3:31 compose b tcp :5 ?\ncompose.yaml:3:46 compose b tcp :3 ?\n" +
				"compose.yaml:9:36 compose h tcp :11 ?\n" +
				"compose.yaml:2:31 note: the ports of a are not published: with network_mode: host its program binds them itself\n" +
				"compose.yaml:4:31 unknown: which ports c opens is not known: it has the host's network, and the file doesn't say\n" +
				"compose.yaml:5:31 note: the ports of d are not published: network_mode is service:a\n" +
				"compose.yaml:9:25 unknown: what h publishes depends on X, which no .env sets\n" +
				"compose.yaml:9:36 unknown: what h publishes depends on X, which no .env sets\n" +
				"limit: the ports of f: its profile is not active\n"},
		{name: "env file and variables", read: []string{"compose.yaml"}, o: Options{EnvFiles: []string{"x.env"}, Env: map[string]string{"A": "2"}}, files: map[string]string{
			"compose.yaml": "services:\n  web:\n    image: w\n    ports: ['${A}:1', '${B}:1', '${C:-5}:1']\n", "x.env": "A=1\nB=3\n", ".env": "C=4\n"},
			want: "compose.yaml:4:13 compose web tcp :2\ncompose.yaml:4:23 compose web tcp :3\ncompose.yaml:4:33 compose web tcp :5\n"},
		{name: "kubernetes", read: []string{"m.yaml"}, files: map[string]string{"m.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  hostNetwork: true\n"},
			want: "m.yaml:5:16 unknown: which ports pod/p opens is not known: it has the host's network and declares no port\n"},
		{name: "systemd", read: []string{"x.socket"}, files: map[string]string{"x.socket": "[Socket]\nListenStream=127.0.0.1:7000\nListenStream=/run/x\nListenDatagram=53\nBindToDevice=lo\n",
			"x.socket.d/10.conf": "[Socket]\nListenStream=8000\n"},
			want: "x.socket:2:24 systemd x.socket tcp 127.0.0.1:7000 ?\nx.socket:4:16 systemd x.socket udp :::53 ?\nx.socket.d/10.conf:2:14 systemd x.socket tcp :::8000 ?\n"},
		{name: "procfile", read: []string{"Procfile"}, files: map[string]string{"Procfile": "web: puma -p $PORT\n", ".env": "PORT=7000\n"},
			want: "Procfile:1:14 procfile web tcp :7000\n"},
		{name: "env", read: []string{".env"}, files: map[string]string{".env": "PORT=7000\n"}, want: ".env:1:6 env PORT tcp :7000 ?\n"},
		{name: "nginx", read: []string{"nginx.conf"}, files: map[string]string{"nginx.conf": "http {\n server { listen 80; listen [::]:80; listen localhost:81; }\n server { listen 80; }\n include sites/*;\n include /usr/share/x.conf;\n}\n",
			"sites/a": "server {\n  listen 8443 ssl;\n}\n"},
			want: "nginx.conf:2:18 nginx nginx tcp 0.0.0.0:80\nnginx.conf:2:34 nginx nginx tcp :::80\nnginx.conf:2:55 nginx nginx tcp localhost:81\nsites/a:2:10 nginx nginx tcp 0.0.0.0:8443\n" +
				"limit: ports named in /usr/share/x.conf: it lies outside of DIR\n"},
		{name: "by content", read: []string{"site"}, files: map[string]string{"site": "server {\n  listen 8080;\n}\n"}, want: "site:2:10 nginx nginx tcp 0.0.0.0:8080\n"},
		{name: "sshd", read: []string{"sshd_config"}, files: map[string]string{"sshd_config": "Port 2222\n"}, want: "sshd_config:1:6 sshd sshd tcp :2222\n"},
		{name: "redis", read: []string{"r"}, o: Options{Kind: "redis"}, files: map[string]string{"r": "bind 127.0.0.1\nport 6380\n"},
			want: "r:2:6 redis redis tcp 127.0.0.1:6380\n"},
		{name: "postgresql", read: []string{"postgresql.conf"}, files: map[string]string{"postgresql.conf": "port = 5433\n"}, want: "postgresql.conf:1:8 postgresql postgresql tcp localhost:5433\n"},
		{name: "apache", read: []string{"ports.conf"}, files: map[string]string{"ports.conf": "Listen 8081\n"}, want: "ports.conf:1:8 apache apache tcp :8081\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, c.files)
			var paths []string
			for _, p := range c.read {
				paths = append(paths, filepath.Join(dir, p))
			}
			for i, e := range c.o.EnvFiles {
				c.o.EnvFiles[i] = filepath.Join(dir, e)
			}
			r, err := Read(context.Background(), paths, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := told(dir, r); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestStdin(t *testing.T) {
	t.Chdir(t.TempDir())
	r, err := Read(context.Background(), []string{"-"}, Options{Stdin: strings.NewReader("services:\n  web:\n    image: w\n    ports: ['8080:80']\n")})
	if got := told(".", r); err != nil || got != "-:4:13 compose web tcp :8080\n" {
		t.Errorf("%q, %v", got, err)
	}
	r, err = Read(context.Background(), []string{"-"}, Options{Stdin: strings.NewReader("apiVersion: v1\nkind: Pod\nspec:\n  containers: [{ports: [{hostPort: 1}]}]\n")})
	if got := told(".", r); err != nil || got != "-:4:36 kubernetes pod/ tcp :1\n" {
		t.Errorf("%q, %v", got, err)
	}
	for _, in := range []string{"hello", strings.Repeat("x", maxSource+1)} {
		if _, err := Read(context.Background(), []string{"-"}, Options{Stdin: strings.NewReader(in)}); err == nil {
			t.Errorf("%.10q is read", in)
		}
	}
	if _, err := Read(context.Background(), []string{"-"}, Options{}); err == nil {
		t.Error("no standard input is read")
	}
}

// A file of another's making can't make us read what isn't below its directory,
// wait for a FIFO, or take all memory.
func TestHostileFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links and FIFOs of Unix")
	}
	const web = "services:\n  web:\n    image: w\n    ports: ['8080:80']\n"
	dir := write(t, map[string]string{"p/compose.yaml": web, "secret.yaml": "services:\n  s:\n    image: s\n    ports: ['4711:1']\n", "p/in/x.yaml": "services:\n  in:\n    image: i\n    ports: ['81:81']\n"})
	p := filepath.Join(dir, "p")
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(p, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("../secret.yaml", "link.yaml")
	link(filepath.Join(dir, "secret.yaml"), "absolute.yaml")
	link("..", "up")
	link(filepath.Join(p, "in"), "own")
	link("loop", "loop")
	link("/dev/zero", "zero.yaml")
	read := func(text string) (string, error) {
		if err := os.WriteFile(filepath.Join(p, "compose.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r, err := Read(context.Background(), []string{filepath.Join(p, "compose.yaml")}, Options{})
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%q took %v", text, took)
		}
		return told(p, r), err
	}
	for _, outside := range []string{"link.yaml", "absolute.yaml", "up/secret.yaml", "../secret.yaml", filepath.Join(dir, "secret.yaml"), "/etc/passwd", "zero.yaml", "own/../../secret.yaml", "link.yaml/", "up/", "up/secret.yaml/"} {
		got, err := read("include: [" + outside + "]\n" + web)
		if err != nil || strings.Contains(got, "4711") || !strings.Contains(got, "lies outside") && !strings.Contains(got, "is not known") {
			t.Errorf("include %s: %q, %v", outside, got, err)
		}
		got, err = read("services:\n  web:\n    image: w\n    extends: {file: " + outside + ", service: s}\n    ports: ['8080:80']\n")
		if err != nil || strings.Contains(got, "4711") {
			t.Errorf("extends %s: %q, %v", outside, got, err)
		}
	}
	// A link that stays within is followed.
	if got, err := read("include: [own/x.yaml]\n" + web); err != nil || !strings.Contains(got, "own/x.yaml:4:13 compose in tcp :81") {
		t.Errorf("own link: %q, %v", got, err)
	}
	for text, want := range map[string]string{
		"include: [loop]\n":    "too many links",
		"include: [in]\n":      "is a directory",
		"include: [no.yaml]\n": "no.yaml: no such file",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	// What the user names must not lead outside either.
	if _, err := Read(context.Background(), []string{filepath.Join(p, "link.yaml")}, Options{}); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("a link as FILE: %v", err)
	}
	link("../secret.yaml", "compose.override.yaml")
	if got, err := read(web); err != nil || !strings.Contains(got, "what compose.override.yaml changes is not known: it lies outside") || strings.Contains(got, "4711") {
		t.Errorf("an override that is a link: %q, %v", got, err)
	}
	// With a wider root it is the user's word.
	r, err := Read(context.Background(), []string{filepath.Join(p, "link.yaml")}, Options{Root: dir})
	if err != nil || !strings.Contains(told(dir, r), "4711") {
		t.Errorf("--root: %v", err)
	}
	if _, err := Read(context.Background(), []string{filepath.Join(dir, "secret.yaml")}, Options{Root: p}); err == nil {
		t.Error("a FILE outside of --root is read")
	}
}

func TestLargeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte("services: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 1<<30); err != nil {
		t.Skip("no sparse file of 1 GB: ", err)
	}
	start := time.Now()
	if _, err := Read(context.Background(), []string{file}, Options{}); err == nil || !strings.Contains(err.Error(), "is larger than") || time.Since(start) > 10*time.Second {
		t.Errorf("1 GB: %v after %v", err, time.Since(start))
	}
}

func TestErrors(t *testing.T) {
	dir := write(t, map[string]string{"compose.yaml": "services:\n  web:\n    ports: [x]\n", "what": "hello\n", "m.yaml": "apiVersion: v1\nkind: Pod\nspec: {containers: [{ports: [{hostPort: x}]}]}\n", "empty/x": "",
		"e/compose.yaml": "services: {}\n", "e/.env": "'\n", "binary": "server {\x00"})
	for _, c := range []struct {
		file string
		o    Options
		want string
	}{
		{"compose.yaml", Options{}, `compose.yaml:3:13: the port "x" has "x" for the container`},
		{"m.yaml", Options{}, "m.yaml:3:41: hostPort is no port"},
		{"what", Options{}, "its kind is not recognised; --kind says it: compose, kubernetes"},
		{"binary", Options{}, "its kind is not recognised"},
		{"none.yaml", Options{}, "no such file"},
		{"no/none.yaml", Options{}, "no such file"},
		{"empty", Options{}, "is a directory without compose.yaml"},
		{"e", Options{}, ".env"},
		{"e", Options{EnvFiles: []string{filepath.Join(dir, "nothing.env")}}, "nothing.env: no such file"},
		{"e", Options{EnvFiles: []string{filepath.Join(dir, "no/nothing.env")}}, "nothing.env: no such file"},
		{"e", Options{EnvFiles: []string{filepath.Join(dir, "e/.env")}}, "e/.env:"},
		{"e", Options{Root: filepath.Join(dir, "none")}, "no such file"},
	} {
		_, err := Read(context.Background(), []string{filepath.Join(dir, c.file)}, c.o)
		var bad *Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.file, err, c.want)
		}
	}
}

func TestFromHost(t *testing.T) {
	r := FromHost(host.Claims{Limits: []host.Limit{{What: "x", Why: "y"}}, List: []host.Claim{
		{Program: "nginx", Network: "tcp", Address: "*", Port: 80, File: "/etc/nginx/nginx.conf", Line: 3},
		{Program: "nginx", Network: "tcp", Address: "*", Port: 80, File: "/etc/nginx/nginx.conf", Line: 9},
		{Program: "sshd", Network: "tcp", Address: "", Port: 22, File: "/etc/ssh/sshd_config", Line: 1},
		{Program: "redis", Network: "unix", Path: "/run/r", File: "/etc/redis.conf", Line: 1},
		{Program: "x", Network: "tcp", Port: 1, Disabled: true}}})
	const want = "/etc/nginx/nginx.conf:3:0 nginx nginx tcp 0.0.0.0:80\n/etc/ssh/sshd_config:1:0 sshd sshd tcp :22\nlimit: x: y\n"
	if got := told("\x00", r); got != want || len(r.Files) != 2 {
		t.Errorf("%s%v", got, r.Files)
	}
}

func TestKinds(t *testing.T) {
	for name, want := range map[string]string{"compose.yaml": Compose, "docker-compose.prod.yml": Compose, "my-compose.yml": Compose, "a.socket": Systemd, "Procfile.dev": Procfile, ".env": Env,
		".env.local": Env, "prod.env": Env, "nginx.conf": "nginx", "my.cnf": "mysql", "haproxy.cfg": "haproxy", "x.txt": ""} {
		if got := kindOf(name, nil); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for text, want := range map[string]string{"apiVersion: v1\nkind: Pod\n": Kubernetes, "{\n \"apiVersion\": \"v1\"}": Kubernetes, "name: x\nservices:\n": Compose, "{\"services\": {}}": Compose,
		"[Unit]\nDescription=x\n": Systemd, "Listen 80\n": "apache", "<VirtualHost *:80>\n": "apache", "appendonly yes\n": "redis", "max_connections = 100\n": "postgresql",
		"PermitRootLogin no\n": "sshd", "frontend web\n  bind :80\n": "haproxy", "[mysqld]\n": "mysql", "hello": ""} {
		if got := kindOf("x", []byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzKindOf(f *testing.F) {
	f.Add("compose.yaml", []byte("services:"))
	f.Fuzz(func(t *testing.T, name string, data []byte) { kindOf(name, data) })
}
