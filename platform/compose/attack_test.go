package compose

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func load(files map[string]string, o Options) (*Project, error) {
	if len(o.Files) == 0 {
		o.Files = []string{"compose.yaml"}
	}
	o.Read = reader(files)
	o.Name = "p"
	return Load(context.Background(), o)
}

const oneService = "services:\n  web:\n    image: web\n    ports: ['80:80']\n"

// What compose refuses is refused with its place.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"services: [\n", "compose.yaml:2:1: is no YAML: did not find expected node content"},
		{"services:\n\tweb: 1\n", "compose.yaml:2:1: is no YAML: found character that cannot start any token"},
		{"services:\n  web: {}\n  web: {}\n", `compose.yaml:3:3: "web" is given twice; first in line 2`},
		{"x: {a: 1, a: 2}\nservices: {}\n", `compose.yaml:1:11: "a" is given twice; first in line 1`},
		{"services:\n  web:\n    ports: ['eighty:80']\n", `compose.yaml:3:13: the port "eighty:80" has "eighty" for the host, which is neither a port nor a range`},
		{"services:\n  web:\n    ports: ['80:']\n", `compose.yaml:3:13: the port "80:" names none of the container`},
		{"services:\n  web:\n    ports: ['70000:80']\n", `compose.yaml:3:13: the port "70000:80" has "70000" for the host`},
		{"services:\n  web:\n    ports: ['80-90:80-81']\n", `compose.yaml:3:13: the port "80-90:80-81" has ranges of different lengths`},
		{"services:\n  web:\n    ports: ['90-80:80']\n", `has "90-80" for the host`},
		{"services:\n  web:\n    ports: ['1.2.3:80:80']\n", `has "1.2.3" for an address, which is none`},
		{"services:\n  web:\n    ports: ['[::1:80:80']\n", `for an address, which is none`},
		{"services:\n  web:\n    ports: ['80:80/icmp']\n", `has a protocol that is none of tcp, udp, sctp`},
		{"services:\n  web:\n    ports: [[80]]\n", "compose.yaml:3:13: expected a port, found a list"},
		{"services:\n  web:\n    ports: 80:80\n", "compose.yaml:3:12: expected a list of ports"},
		{"services:\n  web:\n    ports:\n    - published: 80\n", "compose.yaml:4:7: the port has no target"},
		{"services:\n  web:\n    ports:\n    - target: x\n", `compose.yaml:4:15: target is a port, found "x"`},
		{"services:\n  web:\n    ports:\n    - {target: 1, published: x}\n", `compose.yaml:4:30: published is a port or a range, found "x"`},
		{"services:\n  web:\n    ports:\n    - {target: 1, host_ip: x}\n", `compose.yaml:4:28: "x" is no address`},
		{"services:\n  web:\n    ports:\n    - {target: 1, protocol: x}\n", `the protocol "x" is none of`},
		{"services:\n  web:\n    expose: [x]\n", `compose.yaml:3:14: expose takes ports, found "x"`},
		{"services:\n  web:\n    scale: many\n", `compose.yaml:3:12: expected a number of containers, found "many"`},
		{"services: [web]\n", "compose.yaml:1:11: services takes names with values"},
		{"services:\n  web: nginx\n", "compose.yaml:2:8: the service web takes keys with values"},
		{"linters: {}\n", "compose.yaml: is no compose file: it has no services"},
		{"", "compose.yaml: is no compose file: it has no services"},
		{"- web\n", "compose.yaml:1:1: expected keys such as services, found a list"},
		{"services:\n  web:\n    ports: ['${P:?no port}:80']\n", "compose.yaml:3:13: the variable P has to be set (no port): give it with --env P=VALUE"},
		{"services:\n  web:\n    ports: ['${P:80']\n", `is no valid use of variables`},
		{"services:\n  web:\n    extends: web\n", "compose.yaml:3:14: web extends itself"},
		{"services:\n  web:\n    extends: base\n", `compose.yaml:3:14: there is no service "base" in compose.yaml to extend`},
		{"services:\n  web:\n    extends: {file: no.yaml, service: base}\n", "compose.yaml:3:21: no.yaml: no such file"},
		{"services:\n  web:\n    extends: {file: compose.yaml}\n", "compose.yaml:3:14: extends names no service"},
		{"services:\n  web:\n    extends: []\n", "compose.yaml:3:14: extends names a service"},
		{"include: other.yaml\n", "compose.yaml:1:10: include takes a list"},
		{"include: [no.yaml]\n", "compose.yaml:1:11: no.yaml: no such file"},
		{"include: [compose.yaml]\n", "compose.yaml:1:11: compose.yaml includes itself"},
		{"include: [{project_directory: .}]\n", "compose.yaml:1:11: include takes a path"},
		{"include: [[a]]\n", ""},
		{"include: [{path: [[a]]}]\n", "expected a path"},
		{"include: [{path: {a: b}}]\n", "expected a path"},
		{"services:\n  web:\n    <<: 1\n", "compose.yaml:3:9: a merge key takes keys with values"},
		{"services:\n  web:\n    <<: [[]]\n", "compose.yaml:3:10: a merge key takes keys with values"},
		{"? [a]\n: 1\n", "compose.yaml:1:3: a key is a word"},
	} {
		_, err := load(map[string]string{"compose.yaml": c.text}, Options{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
	if _, err := load(map[string]string{"compose.yaml": oneService, ".env": "A=b\n'\n"}, Options{}); err == nil || strings.Contains(err.Error(), "'") {
		t.Errorf(".env: %v", err)
	}
	if _, err := load(map[string]string{"compose.yaml": oneService}, Options{EnvFiles: []string{"no.env"}}); err == nil || err.Error() != "no.env: no such file" {
		t.Errorf("--env-file: %v", err)
	}
	if _, err := load(nil, Options{}); err == nil || err.Error() != "compose.yaml: no such file" {
		t.Errorf("no file: %v", err)
	}
}

// within runs f and fails if it takes long or much.
func within(t *testing.T, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 700<<20 {
		t.Errorf("it allocated %d MB", used>>20)
	}
}

// Files that are made to take all time or memory end in an error soon, or are
// read without harm.
func TestBombs(t *testing.T) {
	laughs := "x0: &x0 {ports: ['80:80'], environment: [a]}\n"
	lists := "y0: &y0 ['80:80', '81:81']\n"
	for i := 1; i < 40; i++ {
		laughs += fmt.Sprintf("x%d: &x%d\n  <<: [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 9))
		lists += fmt.Sprintf("y%d: &y%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*y%d, ", i-1), 9))
	}
	var many strings.Builder
	many.WriteString("x: &x\n  ports:\n")
	for i := range 5000 {
		fmt.Fprintf(&many, "  - '%d:80'\n", i+1)
	}
	many.WriteString("services:\n")
	for i := range 5000 {
		fmt.Fprintf(&many, "  s%d: *x\n", i)
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string // of the error; empty: it is read
	}{
		"merge keys":     {map[string]string{"compose.yaml": laughs + "services:\n  web: *x39\n"}, "aliases, includes and extends make more than"},
		"nested lists":   {map[string]string{"compose.yaml": lists + "services:\n  web:\n    ports: *y39\n"}, "aliases, includes and extends make more than"},
		"no service":     {map[string]string{"compose.yaml": "services: {}\n"}, ""},
		"not asked for":  {map[string]string{"compose.yaml": lists + "services:\n  web:\n    volumes: *y39\n    ports: ['80:80']\n"}, ""},
		"services":       {map[string]string{"compose.yaml": many.String()}, "aliases, includes and extends make more than"},
		"own anchor":     {map[string]string{"compose.yaml": "services:\n  web: &a\n    environment:\n      x: *a\n"}, "the alias *a stands within its own anchor"},
		"own merge":      {map[string]string{"compose.yaml": "services:\n  web: &a\n    <<: *a\n"}, "the alias *a stands within its own anchor"},
		"own merge list": {map[string]string{"compose.yaml": "x: &a [{<<: *a}]\nservices:\n  web:\n    <<: *a\n"}, "the alias *a stands within its own anchor"},
		"deep":           {map[string]string{"compose.yaml": "services: " + strings.Repeat("[", 100000)}, "depth"},
		"deep mappings":  {map[string]string{"compose.yaml": strings.Repeat("a: {", 200) + strings.Repeat("}", 200)}, "depth"},
		"deep blocks": {map[string]string{"compose.yaml": func() string {
			s := ""
			for i := range 300 {
				s += strings.Repeat(" ", i) + "a:\n"
			}
			return s
		}()}, "depth"},
		"large":           {map[string]string{"compose.yaml": strings.Repeat("#", MaxFile+1)}, "is larger than"},
		"tiny":            {map[string]string{"compose.yaml": "services: {}\nx:\n" + strings.Repeat("-\n", MaxFile/2-20)}, ""},
		"documents":       {map[string]string{"compose.yaml": strings.Repeat("---\nx: 1\n", 10000)}, "more than 200 documents"},
		"long":            {map[string]string{"compose.yaml": "services:\n  web:\n    ports: ['" + strings.Repeat("1", maxScalar+1) + "']\n"}, "too long"},
		"variables":       {map[string]string{"compose.yaml": "services:\n  web:\n    ports: ['" + strings.Repeat("${A}", 400) + "']\n", ".env": "A=" + strings.Repeat("9", 2000) + "\n"}, "longer than"},
		"a long variable": {map[string]string{"compose.yaml": "services:\n  web:\n    ports: ['${A}']\n", ".env": "A=" + strings.Repeat("9", 100000) + "\n"}, "the variable A is longer"},
		"defaults":        {map[string]string{"compose.yaml": "services:\n  web:\n    ports: ['" + strings.Repeat("${A:-", 300) + "80" + strings.Repeat("}", 300) + "']\n"}, ""},
		"fan of includes": {func() map[string]string {
			files := map[string]string{"compose.yaml": "include: [f0.yaml, f0.yaml]\n", "f14.yaml": oneService}
			for i := range 14 {
				files[fmt.Sprintf("f%d.yaml", i)] = fmt.Sprintf("include: [f%d.yaml, f%d.yaml]\n", i+1, i+1)
			}
			return files
		}(), "more than 200 files"},
		"chain of includes": {func() map[string]string {
			files := map[string]string{"compose.yaml": "include: [f0.yaml]\n"}
			for i := range 30 {
				files[fmt.Sprintf("f%d.yaml", i)] = fmt.Sprintf("include: [f%d.yaml]\n", i+1)
			}
			return files
		}(), "nest deeper"},
		"chain of extends": {func() map[string]string {
			text := "services:\n  s0: {ports: ['1:1']}\n"
			for i := 1; i < 40; i++ {
				text += fmt.Sprintf("  s%d: {extends: s%d}\n", i, i-1)
			}
			return map[string]string{"compose.yaml": strings.Replace(text, "s39:", "a:", 1)}
		}(), ""},
		"too many ports": {func() map[string]string {
			text := "services:\n  web:\n    ports:\n"
			for i := range 9000 {
				text += fmt.Sprintf("    - '%d:80'\n", i+1)
			}
			return map[string]string{"compose.yaml": text}
		}(), "more than 8192 ports"},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func() {
				_, err := load(c.files, Options{})
				switch {
				case c.want == "" && err != nil && name != "chain of extends" && name != "defaults":
					t.Error(err)
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Errorf("got %v, want %s", err, c.want)
				}
			})
		})
	}
}

// Nothing is fetched, and nothing outside of the project is read.
func TestOutside(t *testing.T) {
	files := map[string]string{"compose.yaml": `include:
  - oci://docker.io/user/app
  - https://github.com/user/repo.git
  - git@github.com:user/repo.git
  - ../other/compose.yaml
  - /etc/passwd
  - path: inside.yaml
    env_file: /etc/shadow
    project_directory: ../elsewhere
services:
  web:
    image: web
    env_file: /etc/shadow
    extends:
      file: ../../secret.yaml
      service: x
    ports: ["80:80"]
`, "inside.yaml": "services:\n  in:\n    image: in\n    ports: ['81:81']\n"}
	var asked []string
	o := Options{Files: []string{"compose.yaml"}, Name: "p", Read: func(name string) ([]byte, error) {
		data, err := reader(files)(name)
		if err == nil {
			asked = append(asked, name)
		}
		return data, err
	}}
	p, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	got := describe(p)
	for _, want := range []string{
		"compose.yaml:2:5 unread oci://docker.io/user/app: include is remote, and nothing is fetched",
		"compose.yaml:3:5 unread https://github.com/user/repo.git: include is remote",
		"compose.yaml:4:5 unread git@github.com:user/repo.git: include is remote",
		"compose.yaml:5:5 unread ../other/compose.yaml: it lies outside",
		"compose.yaml:6:5 unread /etc/passwd: it lies outside",
		"compose.yaml:8:15 unread /etc/shadow: it lies outside", "compose.yaml:9:24 unread ../elsewhere/.env: it lies outside",
		"compose.yaml:15:13 unread ../../secret.yaml: it lies outside",
		"compose.yaml:17:13 tcp :80 -> 80", "inside.yaml:4:13 tcp :81 -> 81",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	for _, name := range asked {
		if name != "compose.yaml" && name != "inside.yaml" {
			t.Errorf("%s was read", name)
		}
	}
}

// Our own environment is none of the file's business.
func TestOwnEnvironment(t *testing.T) {
	t.Setenv("SECRET", "4711")
	p, err := load(map[string]string{"compose.yaml": "services:\n  web:\n    ports: ['${SECRET}:80']\n    command: [$SECRET]\n", ".env": "OTHER=$SECRET\n"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", p); strings.Contains(got, "4711") {
		t.Errorf("the environment shows: %s", got)
	}
	if got := p.Services[0].Ports[0].Unset; !slices.Equal(got, []string{"SECRET"}) {
		t.Errorf("unset: %v", got)
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Load(ctx, Options{Files: []string{"compose.yaml"}, Read: reader(map[string]string{"compose.yaml": oneService})}); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v", err)
	}
	if _, err := Load(context.Background(), Options{}); err == nil {
		t.Error("no file, no error")
	}
}

var projects = flag.Int("projects", 25, "how many projects made at random are compared with compose-go")

// On projects made at random, compose-go says the same.
func TestAgreesAtRandom(t *testing.T) {
	random := rapid.Custom(randomProject)
	for seed := range *projects {
		files := random.Example(seed)
		o := Options{Files: []string{"compose.yaml", "override.yaml"}, Read: reader(files), Name: "oracle", Profiles: []string{"dev"}}
		got, err := Load(context.Background(), o)
		want, wantErr := whole(t, o, files)
		switch {
		case (err == nil) != (wantErr == nil):
			t.Errorf("seed %d: ours: %v, compose-go: %v\n%s", seed, err, wantErr, show(files))
		case err == nil && !maps.EqualFunc(ours(got), want, slices.Equal[[]string]):
			t.Errorf("seed %d: ours\n%v\ncompose-go\n%v\n%s", seed, ours(got), want, show(files))
		}
	}
}

func show(files map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "-- %s --\n%s", name, files[name])
	}
	return b.String()
}

var names = []string{"a", "b", "c", "d"}

// randomProject writes a compose file, one that overrides it, one that is
// included and one that is extended.
func randomProject(t *rapid.T) map[string]string {
	files := map[string]string{".env": "P=7000\nEMPTY=\n"}
	coin := func(label string) bool { return rapid.Bool().Draw(t, label) }
	ports := func() string {
		return rapid.SampledFrom([]string{`"80:80"`, `"${P}:80"`, `"${P:-1}:81/udp"`, `"127.0.0.1:80:80"`, `"[::1]:82:80"`, `"8000-8003:80"`, `"8000-8001:90-91"`, `90`,
			`"91"`, `"${EMPTY:-93}:93"`, `"${EMPTY-94}:94"`, `"${UNSET}:95"`, `{target: 80, published: 80}`, `{target: 80, published: "${P}", host_ip: 127.0.0.1}`,
			`{target: 96, protocol: udp, mode: host}`, `{target: 97, published: "9700-9703"}`, `"80:80/tcp"`}).Draw(t, "port")
	}
	list := func(n int) string {
		var items []string
		for range rapid.IntRange(0, n).Draw(t, "n") {
			items = append(items, ports())
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	service := func(b *strings.Builder, name, extends string, marks bool) {
		fmt.Fprintf(b, "  %s:\n    image: %s\n", name, name)
		mark := ""
		if marks {
			mark = rapid.SampledFrom([]string{"", "", "!override ", "!reset "}).Draw(t, "mark")
		}
		switch {
		case coin("anchor") && mark == "":
			fmt.Fprintf(b, "    <<: *x\n")
		case coin("ports"):
			fmt.Fprintf(b, "    ports: %s%s\n", mark, list(4))
		}
		if coin("mode") {
			fmt.Fprintf(b, "    network_mode: %s\n", rapid.SampledFrom([]string{"host", "none", "bridge"}).Draw(t, "network_mode"))
		}
		if coin("profiles") {
			fmt.Fprintf(b, "    profiles: %s\n", rapid.SampledFrom([]string{"[dev]", "[prod]", "[]", "[dev, prod]"}).Draw(t, "profiles"))
		}
		if coin("scale") {
			fmt.Fprintf(b, "    deploy:\n      replicas: %d\n", rapid.IntRange(0, 3).Draw(t, "replicas"))
		}
		if coin("environment") {
			b.WriteString(rapid.SampledFrom([]string{"    environment: [A=1, B]\n", "    environment: {A: 1}\n"}).Draw(t, "environment"))
		}
		if extends != "" && coin("extends") {
			b.WriteString(extends)
		}
	}
	write := func(file string, extends func(i int) string, marks bool, head string) {
		var b strings.Builder
		b.WriteString("x-x: &x\n  ports: " + list(3) + "\n" + head + "services:\n")
		some := false
		for i, name := range names {
			if coin(file + name) {
				some = true
				service(&b, name, extends(i), marks)
			}
		}
		if !some {
			service(&b, names[0], "", marks)
		}
		files[file] = b.String()
	}
	none := func(int) string { return "" }
	write("extended.yaml", none, false, "")
	write("included.yaml", none, false, "")
	back := func(i int) string {
		if i == 0 {
			return ""
		}
		if coin("file") {
			return fmt.Sprintf("    extends: {file: extended.yaml, service: %s}\n", rapid.SampledFrom(names).Draw(t, "base"))
		}
		return fmt.Sprintf("    extends: %s\n", names[i-1])
	}
	head := ""
	if coin("include") {
		head = "include: [included.yaml]\n"
	}
	write("compose.yaml", back, false, head)
	write("override.yaml", back, true, "")
	return files
}

func FuzzLoad(f *testing.F) {
	for _, name := range samples(f) {
		s := readSample(f, name)
		f.Add(s.files[s.options.Files[0]], s.files[".env"])
	}
	f.Add("services: {a: &a {<<: *a}}", "A=${A}")
	f.Fuzz(func(t *testing.T, text, env string) {
		p, err := load(map[string]string{"compose.yaml": text, ".env": env}, Options{Profiles: []string{"*"}})
		if err != nil {
			return
		}
		for _, s := range p.Services {
			for _, port := range s.Ports {
				if port.Line < 1 || port.Column < 1 || port.First > port.Last || port.Target > port.TargetLast {
					t.Errorf("%+v", port)
				}
			}
		}
	})
}
