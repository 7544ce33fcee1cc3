//go:build linux

package lab

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/portwhy/portwhy/agent/redact"
)

// seeds are secrets that a test puts into a host, each once, with their places.
type seeds struct {
	random *rand.Rand
	list   []seed
}

type seed struct{ place, secret string }

func (s *seeds) draw(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[s.random.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	small = "abcdefghijkmnopqrstuvwxyz23456789"
	mixed = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
)

func (s *seeds) add(place, secret string) string {
	s.list = append(s.list, seed{place, secret})
	return secret
}

// password is what somebody chose; only its place says that it is one.
func (s *seeds) password(place string) string { return s.add(place, s.draw(mixed, 11)+"7x") }

// token is one of a known form; it is found anywhere.
func (s *seeds) token(place string) string {
	switch s.random.IntN(6) {
	case 0:
		return s.add(place, "ghp_"+s.draw(mixed, 36))
	case 1:
		return s.add(place, "glpat-"+s.draw(mixed, 20))
	case 2:
		return s.add(place, "sk_live_"+s.draw(mixed, 24))
	case 3:
		return s.add(place, "xoxb-"+s.draw("0123456789", 11)+"-"+s.draw(mixed, 24))
	case 4:
		return s.add(place, "AKIA"+s.draw("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))
	}
	return s.add(place, s.draw("0123456789abcdef", 38)+"0a")
}

// name is a name that tells who somebody is.
func (s *seeds) name(place string) string { return s.add(place, "q"+s.draw(small, 9)+"7z") }

// file is a file of a scenario.
func file(b *strings.Builder, name, text string) {
	fmt.Fprintf(b, "-- here/%s --\n%s\n", name, strings.TrimSuffix(text, "\n"))
}

// seededHost writes a scenario whose host has secrets wherever portwhy looks.
func seededHost(s *seeds) string {
	var steps, files strings.Builder
	fmt.Fprintf(&steps, "# Secrets everywhere\nneeds root\nhost here\nhost there\nlink here:eth0 10.77.0.1/24 fd00:77::1/64 there:eth0 10.77.0.2/24\n")
	fmt.Fprintf(&steps, "run here hostname %s.%s.corp\n", s.name("hostname"), s.name("hostname"))
	s.processes(&steps)
	s.firewall(&steps, &files)
	s.engine(&steps, &files)
	s.configuration(&files)
	s.server(&steps, &files)
	return steps.String() + files.String()
}

// processes are command lines and environments.
func (s *seeds) processes(steps *strings.Builder) {
	for i := range 33 {
		argv := []string{"--password", s.password("argv"), "--api-key=" + s.password("argv"), "redis://u:" + s.password("argv URL") + "@db1:6379/0",
			s.token("argv"), "PGPASSWORD=" + s.password("argv variable"), "Authorization: Bearer " + s.password("argv header")}
		fmt.Fprintf(steps, "start here p%d 'env=HTTP_PROXY=http://joe:%s@proxy:3128/' env=DB_HOST=%s.lan env=DB_PASSWORD=%s sh -c 'sleep 900; :' idle '%s'\n",
			i, s.password("environ URL"), s.name("environ host"), s.password("environ, not read"), strings.Join(argv, "' '"))
	}
	for i := range 6 {
		fmt.Fprintf(steps, "start here m%d sh -c 'sleep 900; : mysql -uroot -p%s; redis-cli -a %s ping'\n", i, s.password("script in argv"), s.password("script in argv"))
	}
}

// firewall are comments and prefixes of nftables, iptables and ipset.
func (s *seeds) firewall(steps, files *strings.Builder) {
	var nft strings.Builder
	fmt.Fprintf(&nft, "table inet f {\n\tset s { type ipv4_addr; elements = { 10.99.0.1 comment \"%s\" } }\n", s.token("comment of nft's set element"))
	fmt.Fprintf(&nft, "\tchain in { type filter hook input priority 0; policy accept; comment \"%s\"\n", s.token("comment of nft's chain"))
	for i := range 20 {
		fmt.Fprintf(&nft, "\t\ttcp dport %d accept comment \"password=%s\"\n\t\ttcp dport %d log prefix \"%s \" accept\n", 9000+i, s.password("comment of nft"), 9100+i, s.token("log prefix of nft"))
	}
	nft.WriteString("\t}\n}\n")
	file(files, "etc/nftables.conf", nft.String())
	steps.WriteString("run here nft -f /etc/nftables.conf\n")
	var saved strings.Builder
	saved.WriteString("*filter\n")
	for i := range 20 {
		fmt.Fprintf(&saved, "-A INPUT -p tcp --dport %d -m comment --comment \"for %s token: %s\" -j ACCEPT\n", 9200+i, s.token("comment of iptables"), s.password("comment of iptables"))
	}
	for i := range 6 {
		fmt.Fprintf(&saved, "-A INPUT -p tcp --dport %d -j LOG --log-prefix \"pw=%s \"\n", 9300+i, s.password("log prefix of iptables"))
	}
	saved.WriteString("COMMIT\n")
	file(files, "etc/iptables/rules.v4", saved.String())
	steps.WriteString("run here iptables-nft-restore -n /etc/iptables/rules.v4\nrun here iptables-legacy-restore -n /etc/iptables/rules.v4\n")
	fmt.Fprintf(steps, "run here ipset create blocked hash:ip comment\n")
	for i := range 8 {
		fmt.Fprintf(steps, "run here ipset add blocked 10.98.0.%d comment '%s'\n", i+1, s.token("comment of ipset"))
	}
}

// engine is a container engine that answers as Docker does.
func (s *seeds) engine(steps, files *strings.Builder) {
	type object map[string]any
	var list []object
	for i := range 14 {
		project, service, id := s.name("compose project"), s.name("compose service"), s.draw("0123456789abcdef", 64)
		c := object{"Id": id, "Created": "2026-11-22T20:24:44Z", "Path": "/srv/app", "Args": []string{"--token", s.password("argv of a container"), "--dsn", "postgres://a:" + s.password("URL in a container") + "@db/x"},
			"State": object{"Status": "running", "Pid": 0}, "Name": "/" + s.name("container"), "HostConfig": object{"NetworkMode": "bridge"},
			"Config": object{"Image": "registry." + s.name("registry") + ".com/" + s.name("image") + ":1.2", "Env": []string{"PASSWORD=" + s.password("environ of a container, not read")},
				"Labels": object{"com.docker.compose.project": project, "com.docker.compose.service": service, "com.docker.compose.project.config_files": "/home/" + s.name("home of compose file") + "/" + project + "/compose.yaml",
					"secret": s.token("label, not read")}},
			"NetworkSettings": object{"Ports": object{"80/tcp": []object{{"HostIp": "0.0.0.0", "HostPort": fmt.Sprint(8100 + i)}}}, "Networks": object{s.name("container network"): object{"IPAddress": fmt.Sprintf("172.17.0.%d", i+2)}}}}
		list = append(list, c)
	}
	text, _ := json.Marshal(list)
	file(files, "srv/containers.json", string(text))
	file(files, "srv/engine.py", `
import json, os, socketserver, http.server
every = json.load(open("/srv/containers.json"))
class H(http.server.BaseHTTPRequestHandler):
    def address_string(self): return "-"
    def do_GET(self):
        if "/containers/json" in self.path: a = [{"Id": c["Id"]} for c in every]
        elif "/networks" in self.path: a = []
        else: a = [c for c in every if c["Id"] in self.path][0]
        b = json.dumps(a).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(b))); self.end_headers(); self.wfile.write(b)
class S(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): request_queue_size = 64
print("READY", flush=True)
S("/run/docker.sock", H).serve_forever()`)
	steps.WriteString("start here engine python3 /srv/engine.py\nwait here ok test -S /run/docker.sock\n")
}

// configuration are files of servers and units that aren't running.
func (s *seeds) configuration(files *strings.Builder) {
	var nginx, haproxy strings.Builder
	for i := range 12 {
		fmt.Fprintf(&nginx, "server { listen %d; # %s\n  server_name %s.corp; }\n", 7000+i, s.token("comment in nginx"), s.name("server name, not read"))
		fmt.Fprintf(&haproxy, "frontend f%d\n  bind *:%d # password %s\n", i, 7100+i, s.password("comment in haproxy"))
	}
	file(files, "etc/nginx/nginx.conf", "events {}\nhttp {\ninclude /etc/nginx/conf.d/*.conf;\n"+nginx.String()+"}\n")
	for i := range 6 {
		file(files, "etc/nginx/conf.d/"+s.token("file name")+".conf", fmt.Sprintf("server { listen %d; }", 7200+i))
	}
	file(files, "etc/haproxy/haproxy.cfg", haproxy.String())
	file(files, "etc/ssh/sshd_config", "Port 22 # "+s.token("comment in sshd")+"\nListenAddress 10.77.0.1\n")
	file(files, "etc/redis/redis.conf", "port 6379\nrequirepass "+s.password("redis")+"\nmasterauth "+s.password("redis")+"\n")
	file(files, "etc/postgresql/15/main/postgresql.conf", "port = 5432 # password="+s.password("postgresql")+"\nprimary_conninfo = 'host=db password="+s.password("postgresql")+"'\n")
	for i := range 12 {
		name := s.name("unit")
		file(files, "etc/systemd/system/"+name+".socket", fmt.Sprintf("[Socket]\n# %s\nListenStream=%d\n", s.token("comment in a unit"), 7300+i))
		file(files, "etc/systemd/system/"+name+".service", fmt.Sprintf("[Service]\nEnvironment=PORT=%d PASSWORD=%s\nExecStart=/usr/bin/app --port %d --secret %s\n", 7400+i, s.password("unit"), 7400+i, s.password("unit")))
	}
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n")
	for i := range 12 {
		fmt.Fprintf(&hosts, "10.77.0.%d %s.%s.corp %s\n", 2, s.name("hosts file"), s.name("hosts file"), fmt.Sprint("db", i))
	}
	file(files, "etc/hosts", hosts.String())
	file(files, "etc/resolv.conf", "search "+s.name("search domain")+".corp "+s.name("search domain")+".example\nnameserver 10.77.0.2\n")
}

// server says its secrets to whoever asks; other sockets have them in their names.
func (s *seeds) server(steps, files *strings.Builder) {
	file(files, "srv/web.py", `
import http.server
class H(http.server.BaseHTTPRequestHandler):
    server_version = "`+s.token("HTTP banner")+`"
    def do_GET(self):
        self.send_response(503, "token=`+s.password("HTTP status line")+`")
        self.send_header("Set-Cookie", "sid=`+s.password("cookie")+`")
        self.send_header("Connection", "close")
        self.end_headers(); self.wfile.write(b"password: `+s.password("HTTP body")+`")
http.server.HTTPServer(("127.0.0.1", 8080), H).serve_forever()`)
	fmt.Fprintf(steps, "start here web 'env=http_proxy=http://joe:%s@proxy:3128/' env=DB_HOST=%s.lan env=UPSTREAM_ADDR=%s.corp:80 python3 /srv/web.py --key-secret %s\nwait here listens tcp 8080\n",
		s.password("environ URL"), s.name("environ host, read"), s.name("environ host, read"), s.password("argv of the server"))
	file(files, "srv/unix.py", `
import socket, sys, time
all = []
for p in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX); s.bind(p); s.listen(); all.append(s)
print("READY", flush=True); time.sleep(900)`)
	fmt.Fprintf(steps, "start here unix python3 /srv/unix.py /run/%s.sock /tmp/%s /run/x-%s.sock\nwait here prints unix READY\n", s.token("unix socket"), s.token("unix socket"), s.token("unix socket"))
	fmt.Fprintf(steps, "ask here diagnose --timeout 2s http://joe:%s@127.0.0.1:8080/?user=x&access_token=%s\n  status broken\n", s.password("target URL"), s.password("target URL"))
	fmt.Fprintf(steps, "ask here diagnose --timeout 1s db3:7001\n  status broken\n")
}

// forms are how a secret may be written: plain, in URLs, in hexadecimal, and in
// base64 from each of the three places where it may begin.
func forms(secret string) []string {
	list := []string{secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for shift := range 3 {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := e.EncodeToString(append(bytes.Repeat([]byte("x"), shift), secret+"xxx"...))
			list = append(list, text[(shift*8+5)/6:(shift+len(secret))*8/6])
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// A host has secrets wherever portwhy reads; none of them gets into what is made
// of it to be sent.
func TestSeededSecrets(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it boots a host")
	}
	for _, program := range []string{"nft", "iptables-nft-restore", "iptables-legacy-restore", "ipset", "python3"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: %v", program, err)
		}
	}
	l, err := New(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &seeds{random: rand.New(rand.NewPCG(5, 11))}
	scenario, err := Parse("test", "seeded", seededHost(s))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.missing(scenario); err != nil {
		t.Skipf("needs %v", err)
	}
	if len(s.list) < 500 {
		t.Fatalf("only %d secrets", len(s.list))
	}
	r := &run{Lab: l, s: scenario, dir: l.tmp + "/seeded", machines: map[string]*machine{}}
	t.Cleanup(func() {
		for _, m := range r.machines {
			if err := m.halt(); err != nil {
				t.Error(err)
			}
		}
	})
	var ignored []string // the answers are not what this is about
	if err := r.play(t.Context(), &ignored); err != nil {
		r.tellOutputs()
		t.Fatalf("%v\n%s", err, &r.log)
	}
	if len(r.answers) != 2 {
		t.Fatalf("no snapshots: %q\n%s", ignored, &r.log)
	}
	recorded := map[seed]bool{}
	for _, a := range r.answers {
		in, err := os.ReadFile(a.snapshot)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range s.list {
			if slices.ContainsFunc(forms(x.secret), func(form string) bool { return bytes.Contains(in, []byte(form)) }) {
				recorded[x] = true
			}
		}
		docs := r.sent(t, a, in)
		maps.Copy(docs, r.archive(t, a))
		for name, doc := range docs {
			for _, x := range s.list {
				if i := slices.IndexFunc(forms(x.secret), func(form string) bool { return bytes.Contains(doc, []byte(form)) }); i >= 0 {
					t.Errorf("%s has the secret from %s, %s, as %s", name, x.place, x.secret, forms(x.secret)[i])
				}
			}
		}
	}
	places, missed := map[string]int{}, map[string]bool{}
	for _, x := range s.list {
		if recorded[x] {
			places[x.place]++
		} else {
			missed[x.place] = true
		}
	}
	t.Logf("%d secrets, %d of them recorded, from %d places: %v; some not read: %v", len(s.list), len(recorded), len(places), places, slices.Sorted(maps.Keys(missed)))
	if len(recorded) < 500 || len(places) < 34 {
		t.Errorf("only %d of %d secrets were recorded, from %d places", len(recorded), len(s.list), len(places))
	}
}

// archive makes a real report on the host, and gives its file as it is and
// decompressed, whatever it is called, and what was said.
func (r *run) archive(t *testing.T, a answered) map[string][]byte {
	t.Helper()
	m := r.machines[a.step.Host]
	var said, packed, plain bytes.Buffer
	cmd := m.command(t.Context(), Options{}, "", append([]string{"portwhy", "report", "--file", "-", "--timeout", "1s"}, targetsOf(a.step.Args)...))
	cmd.Stdout, cmd.Stderr = &packed, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("portwhy report: %v: %s", err, &said)
	}
	stream, err := zstd.NewReader(bytes.NewReader(packed.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := plain.ReadFrom(stream); err != nil {
		t.Fatalf("the report's file: %v", err)
	}
	for _, name := range []string{"report.html", "report.md", "report.json", "snapshot", "manifest.json"} {
		if !bytes.Contains(plain.Bytes(), []byte(name)) {
			t.Errorf("the report has no %s", name)
		}
	}
	return map[string][]byte{"the report's file": packed.Bytes(), "what the report's file holds": plain.Bytes(), "what portwhy report says": said.Bytes()}
}

// sent are the documents that are made of a snapshot to be sent.
func (r *run) sent(t *testing.T, a answered, in []byte) map[string][]byte {
	t.Helper()
	red := redact.New(redact.All, nil)
	out, err := red.Snapshot(in, targetsOf(a.step.Args)...)
	if err != nil {
		t.Fatal(err)
	}
	if left := red.Left(out); len(left) > 0 {
		t.Errorf("still in it: %q", left)
	}
	file := a.snapshot + ".redacted"
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	docs := map[string][]byte{"the redacted snapshot": out}
	args := slices.Clone(a.step.Args)
	for i, arg := range args {
		if isTarget(args, i) {
			args[i] = red.Target(arg)
		}
	}
	for _, form := range []string{"text", "json", "markdown"} {
		cmd := exec.Command(filepath.Join(r.bin, "portwhy"), append([]string{"--snapshot", file, "-o", form}, args...)...)
		text, err := cmd.Output()
		if _, isExit := err.(*exec.ExitError); err != nil && !isExit || len(text) == 0 {
			t.Fatalf("portwhy %q: %v", args, err)
		}
		docs[form] = text
	}
	summary, err := json.Marshal(red.Summary())
	if err != nil {
		t.Fatal(err)
	}
	docs["the summary"] = summary
	return docs
}
