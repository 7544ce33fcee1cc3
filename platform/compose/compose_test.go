package compose

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	composego "github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what is found into the corpus")

// sample is one archive of the corpus: files, and what is wanted of them. Its
// comment may name files, profiles and variables to give.
type sample struct {
	archive  *txtar.Archive
	options  Options
	files    map[string]string
	wantPart string
}

const wantFile = "want"

func readSample(t testing.TB, name string) sample {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := sample{archive: a, files: map[string]string{}}
	for _, f := range a.Files {
		if f.Name == wantFile {
			s.wantPart = string(f.Data)
			continue
		}
		s.files[f.Name] = string(f.Data)
		if len(s.options.Files) == 0 {
			s.options.Files = []string{f.Name}
		}
	}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "files":
			s.options.Files = strings.Fields(value)
		case "profiles":
			s.options.Profiles = strings.Fields(value)
		case "env":
			name, v, _ := strings.Cut(value, "=")
			s.options.Env = map[string]string{name: v}
		}
	}
	s.options.Name = strings.TrimSuffix(filepath.Base(name), ".txtar")
	s.options.Read = reader(s.files)
	return s
}

// reader serves files out of memory.
func reader(files map[string]string) Reader {
	return func(name string) ([]byte, error) {
		if path.IsAbs(name) || strings.HasPrefix(name, "../") {
			return nil, ErrOutside
		}
		data, ok := files[name]
		if !ok {
			return nil, errors.New("no such file")
		}
		return []byte(data), nil
	}
}

// describe writes a project as the corpus wants it.
func describe(p *Project) string {
	var b strings.Builder
	fmt.Fprintf(&b, "project %s\n", p.Name)
	for _, s := range p.Services {
		fmt.Fprintf(&b, "%s:%d:%d service %s", s.File, s.Line, s.Column, s.Name)
		if !s.Enabled {
			b.WriteString(" disabled")
		}
		if s.NetworkMode != "" {
			fmt.Fprintf(&b, " network_mode %s", s.NetworkMode)
		}
		if s.Replicas != 1 {
			fmt.Fprintf(&b, " replicas %d", s.Replicas)
		}
		b.WriteByte('\n')
		for _, port := range s.Ports {
			fmt.Fprintf(&b, "  %s:%d:%d %s\n", port.File, port.Line, port.Column, port)
		}
		for _, port := range s.Expose {
			fmt.Fprintf(&b, "  %s:%d:%d expose %s\n", port.File, port.Line, port.Column, port)
		}
	}
	for _, u := range p.Unread {
		fmt.Fprintf(&b, "%s:%d:%d unread %s: %s\n", u.File, u.Line, u.Column, u.What, u.Why)
	}
	return b.String()
}

func (p Port) String() string {
	span := func(first, last uint16) string {
		if first == last {
			return fmt.Sprint(first)
		}
		return fmt.Sprintf("%d-%d", first, last)
	}
	host := "random"
	if p.First != 0 {
		host = span(p.First, p.Last)
	}
	if p.Any {
		host = "one of " + host
	}
	s := fmt.Sprintf("%s %s:%s -> %s", p.Network, p.HostIP, host, span(p.Target, p.TargetLast))
	if len(p.Unset) > 0 {
		s += " unset " + strings.Join(p.Unset, ",")
	}
	return s
}

func samples(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 30 {
		t.Fatalf("%d samples, %v", len(names), err)
	}
	return names
}

func TestCorpus(t *testing.T) {
	for _, name := range samples(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			s := readSample(t, name)
			p, err := Load(context.Background(), s.options)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(p)
			if *update {
				i := slices.IndexFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == wantFile })
				if i < 0 {
					s.archive.Files = append(s.archive.Files, txtar.File{Name: wantFile})
					i = len(s.archive.Files) - 1
				}
				s.archive.Files[i].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(s.archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != s.wantPart {
				t.Errorf("got\n%s\nwant\n%s", got, s.wantPart)
			}
			for _, service := range p.Services {
				for _, port := range append(slices.Clone(service.Ports), service.Expose...) {
					standsThere(t, s.files, port.Place, port.Text)
				}
				standsThere(t, s.files, service.Place, service.Name)
			}
		})
	}
}

// standsThere checks a place against the file's own text.
func standsThere(t *testing.T, files map[string]string, at Place, text string) {
	t.Helper()
	lines := strings.Split(files[at.File], "\n")
	if at.Line < 1 || at.Line > len(lines) {
		t.Errorf("%s has no line %d", at.File, at.Line)
		return
	}
	line := []rune(lines[at.Line-1])
	if at.Column < 1 || at.Column > len(line) {
		t.Errorf("%s:%d has no column %d", at.File, at.Line, at.Column)
		return
	}
	if rest := strings.TrimLeft(string(line[at.Column-1:]), `"'`); !strings.HasPrefix(rest, text) {
		t.Errorf("%s:%d:%d: %q stands there, not %q", at.File, at.Line, at.Column, rest, text)
	}
}

// whole loads files with all of compose-go, and puts its answer in our words,
// without places.
func whole(t testing.TB, o Options, files map[string]string) (map[string][]string, error) {
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
	l := &loading{options: o}
	env := map[string]string{}
	for k, v := range o.Env {
		env[k] = v
	}
	l.options.Show = func(s string) string { return s }
	if err := l.environment(env, "."); err != nil {
		return nil, err
	}
	details := types.ConfigDetails{WorkingDir: dir, Environment: env}
	for _, f := range o.Files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: filepath.Join(dir, f)})
	}
	profiles := append(slices.Clone(o.Profiles), strings.Split(env["COMPOSE_PROFILES"], ",")...)
	p, err := composego.LoadWithContext(context.Background(), details, func(lo *composego.Options) {
		lo.SetProjectName("oracle", true)
		lo.SkipResolveEnvironment = true
		lo.SkipConsistencyCheck = true
		lo.Profiles = profiles
	})
	if err != nil {
		return nil, err
	}
	return wordsOf(p), nil
}

// wordsOf puts a project of compose-go in our words.
func wordsOf(p *types.Project) map[string][]string {
	out := map[string][]string{}
	add := func(list types.Services, disabled string) {
		for name, s := range list {
			lines := []string{fmt.Sprintf("%s%s x%d", s.NetworkMode, disabled, s.GetScale())}
			for _, port := range s.Ports {
				ip := port.HostIP
				lines = append(lines, fmt.Sprintf("%s %s:%s -> %d", port.Protocol, ip, strings.TrimPrefix(port.Published, "0"), port.Target))
			}
			for _, e := range s.Expose {
				lines = append(lines, "expose "+e)
			}
			slices.Sort(lines)
			out[name] = slices.Compact(lines)
		}
	}
	add(p.Services, "")
	add(p.DisabledServices, " disabled")
	return out
}

// ours puts our answer in the same words.
func ours(p *Project) map[string][]string {
	out := map[string][]string{}
	for _, s := range p.Services {
		disabled := ""
		if !s.Enabled {
			disabled = " disabled"
		}
		lines := []string{fmt.Sprintf("%s%s x%d", s.NetworkMode, disabled, s.Replicas)}
		for _, port := range s.Ports {
			for n := 0; n <= int(port.TargetLast-port.Target); n++ {
				published := ""
				switch {
				case port.Any:
					published = fmt.Sprintf("%d-%d", port.First, port.Last)
				case port.First != 0:
					published = fmt.Sprint(int(port.First) + n)
				}
				lines = append(lines, fmt.Sprintf("%s %s:%s -> %d", port.Network, port.HostIP, published, int(port.Target)+n))
			}
		}
		for _, e := range s.Expose {
			span := fmt.Sprint(e.Target)
			if e.TargetLast != e.Target {
				span += fmt.Sprintf("-%d", e.TargetLast)
			}
			lines = append(lines, "expose "+span)
		}
		slices.Sort(lines)
		out[s.Name] = slices.Compact(lines)
	}
	return out
}

// The whole of compose-go says the same of every sample.
func TestAgreesWithComposeGo(t *testing.T) {
	for _, name := range samples(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			s := readSample(t, name)
			want, err := whole(t, s.options, s.files)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Load(context.Background(), s.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := ours(p); !maps.EqualFunc(got, want, slices.Equal[[]string]) {
				t.Errorf("got\n%v\nwant\n%v", got, want)
			}
		})
	}
}

// Where the client plugin of Docker is installed, it says the same.
func TestAgreesWithDocker(t *testing.T) {
	if err := exec.Command("docker", "compose", "version").Run(); err != nil {
		t.Skip("docker has no compose plugin here: ", err)
	}
	for _, name := range samples(t) {
		s := readSample(t, name)
		dir := t.TempDir()
		args := []string{"compose", "--project-directory", dir}
		for file, text := range s.files {
			file = filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		for _, file := range s.options.Files {
			args = append(args, "-f", filepath.Join(dir, file))
		}
		for _, profile := range s.options.Profiles {
			args = append(args, "--profile", profile)
		}
		cmd := exec.Command("docker", append(args, "config", "--format", "json")...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
		for key, value := range s.options.Env {
			cmd.Env = append(cmd.Env, key+"="+value)
		}
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: docker compose config: %v", name, err)
			continue
		}
		var config struct {
			Services map[string]struct {
				Ports []types.ServicePortConfig `json:"ports"`
			} `json:"services"`
		}
		if err := json.Unmarshal(out, &config); err != nil {
			t.Fatal(err)
		}
		p, err := Load(context.Background(), s.options)
		if err != nil {
			t.Fatal(err)
		}
		got := ours(p)
		for service, c := range config.Services {
			for _, port := range c.Ports {
				want := fmt.Sprintf("%s %s:%s -> %d", port.Protocol, port.HostIP, port.Published, port.Target)
				if !slices.Contains(got[service], want) {
					t.Errorf("%s: %s lacks %s: %q", name, service, want, got[service])
				}
			}
		}
	}
}
