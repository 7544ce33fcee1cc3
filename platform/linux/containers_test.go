//go:build linux

package linux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// dockerFile reads what Docker 20.10 answered.
func dockerFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/docker", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func showContainer(c host.Container) string {
	s := fmt.Sprintf("%s %s %s %s exit=%d pid=%v %v %v", c.Name, c.Engine, c.State, c.Mode, c.Exit, c.PID > 0, c.Networks, c.Address)
	for _, p := range c.Ports {
		s += fmt.Sprintf(" %s>%d/%s", p.Host, p.Container, p.Network)
	}
	for _, p := range c.Exposed {
		s += fmt.Sprintf(" %d/%s", p.Container, p.Network)
	}
	return s
}

func TestParseContainer(t *testing.T) {
	internal, err := parseNetworks(dockerFile(t, "networks"))
	if err != nil || len(internal) != 2 || !internal["inner"] {
		t.Fatalf("networks: %v, %v", internal, err)
	}
	for name, want := range map[string]string{
		"web":  "web docker running bridge exit=0 pid=true [bridge] [172.17.0.2] 0.0.0.0:8088>80/tcp [::]:8088>80/tcp 127.0.0.1:8089>81/tcp [::1]:8090>82/udp 9000/udp",
		"both": "both docker paused dual exit=0 pid=true [dual] [172.19.0.2 2001:db8:5::2] 0.0.0.0:32768>80/tcp [::]:32768>80/tcp 0.0.0.0:32768>9000/udp [::]:32768>9000/udp",
		"made": "made docker created bridge exit=0 pid=false [bridge] [] 0.0.0.0:8188>80/tcp 9000/udp",
		"dead": "dead docker exited bridge exit=2 pid=false [bridge] [] 0.0.0.0:8189>80/tcp 9000/udp",
		"side": "side docker running container:5ea3b8148ba66fd8b80503237a72149b24e7014c00736d2033edb93e9d11f94f exit=0 pid=true [] [] 80/tcp 9000/udp",
	} {
		c, err := parseContainer("docker", dockerFile(t, name), internal)
		if got := showContainer(c); err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, want)
		}
		if c.Image != "srv:1" || !strings.HasPrefix(c.Pid1, "/srv ") || c.Created.Year() < 2020 || len(c.ID) != 64 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	c, _ := parseContainer("docker", dockerFile(t, "web"), nil)
	if c.Project != "shop" || c.Service != "web" || c.ComposeFile != "/srv/shop/compose.yaml" {
		t.Errorf("compose: %+v", c)
	}
	inner := []byte(`{"Id":"1","HostConfig":{"NetworkMode":"inner"},"NetworkSettings":{"Networks":{"inner":{"NetworkID":"x"}}},"State":{"OOMKilled":true,"Status":"exited","ExitCode":137}}`)
	if c, err := parseContainer("podman", inner, internal); err != nil || !c.Internal || !c.OOMKilled || c.Exit != 137 {
		t.Errorf("internal: %+v, %v", c, err)
	}
	two := []byte(`{"Id":"1","NetworkSettings":{"Networks":{"inner":{},"bridge":{}}}}`)
	if c, _ := parseContainer("docker", two, internal); c.Internal {
		t.Error("a container that is also in another network is not internal")
	}
}

func TestParseContainerErrors(t *testing.T) {
	for name, in := range map[string]string{
		"not JSON": "<html>", "no id": "{}", "ports of another shape": `{"Id":"1","NetworkSettings":{"Ports":[]}}`,
		"state of another shape": `{"Id":"1","State":"running"}`, "empty": "", "a list": "[]", "time": `{"Id":"1","Created":"yesterday"}`,
	} {
		if c, err := parseContainer("docker", []byte(in), nil); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if _, err := parseNetworks([]byte("{}")); err == nil {
		t.Error("networks of another shape are read")
	}
	odd := []byte(`{"Id":"1\u001b","Name":"/a","NetworkSettings":{"Ports":{"80":[{"HostPort":"1"}],"81/sctp":[{"HostPort":"1"}],"x/tcp":[{"HostPort":"1"}],"0/tcp":[{"HostPort":"1"}],
		"82/tcp":[{"HostIp":"nonsense","HostPort":"1"},{"HostPort":"70000"},{"HostPort":"8000-8010"},{"HostPort":""}]}}}`)
	c, err := parseContainer("docker", odd, nil)
	if got := showContainer(c); err != nil || got != "a docker   exit=0 pid=false [] [] 0.0.0.0:1>80/tcp 0.0.0.0:0>82/tcp 0.0.0.0:0>82/tcp 0.0.0.0:0>82/tcp" {
		t.Errorf("%v, %s", err, got)
	}
}

// fakeEngine answers like Docker on a socket, and keeps what it was asked.
func fakeEngine(t *testing.T, handler http.HandlerFunc) engineSocket {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return engineSocket{engine: "docker", path: path}
}

func TestEngine(t *testing.T) {
	own := os.Getpid()
	var mu sync.Mutex
	var methods []string
	socket := fakeEngine(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		methods = append(methods, r.Method)
		mu.Unlock()
		switch r.URL.Path {
		case "/containers/json":
			if r.URL.Query().Get("all") != "1" {
				t.Error("asked for running containers only")
			}
			fmt.Fprint(w, `[{"Id":"b"},{"Id":"gone"},{"Id":"a/../../x"}]`)
		case "/networks":
			w.Write(dockerFile(t, "networks"))
		case "/containers/b/json":
			fmt.Fprintf(w, `{"Id":"b","Name":"/b","State":{"Status":"running","Pid":%d}}`, own)
		default:
			if r.URL.EscapedPath() == "/containers/a%2F..%2F..%2Fx/json" {
				fmt.Fprint(w, `{"Id":"a","Name":"/a"}`)
				return
			}
			http.NotFound(w, r)
		}
	})
	list, err := socket.containers(context.Background())
	if err != nil || len(list) != 2 || list[0].Name != "a" || list[1].Name != "b" {
		t.Fatalf("%+v, %v", list, err)
	}
	if want, _ := inodeOf("/proc/self/ns/net"); list[1].NetNS != want || want == 0 {
		t.Errorf("namespace %d, want %d", list[1].NetNS, want)
	}
	if slices.ContainsFunc(methods, func(m string) bool { return m != http.MethodGet }) {
		t.Errorf("methods %v", methods)
	}
}

func TestEngineGetOnly(t *testing.T) {
	asked := false
	socket := fakeEngine(t, func(http.ResponseWriter, *http.Request) { asked = true })
	client := engineClient(socket.path)
	defer client.CloseIdleConnections()
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get"} {
		request, err := http.NewRequest(method, "http://engine/containers/x/stop", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			t.Errorf("%s went through", method)
		}
	}
	request, _ := http.NewRequest("GET", "http://engine/x", strings.NewReader("body"))
	if response, err := client.Do(request); err == nil {
		response.Body.Close()
		t.Error("a GET with a body went through")
	}
	if asked {
		t.Error("the engine was asked")
	}
}

func TestEngineFailures(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		why     string
	}{
		{"denies", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no \x1b[31m", http.StatusForbidden) }, "403 Forbidden: no"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, "list of containers"},
		{"redirects", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, "302"},
		{"no end", func(w http.ResponseWriter, _ *http.Request) {
			for range engineBytes>>10 + 2 {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}, "MiB"},
		{"silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer within 1s"},
	} {
		socket := fakeEngine(t, test.handler)
		c := context.Background()
		if test.name == "silent" {
			c = ctx
		}
		_, err := socket.containers(c)
		if err == nil {
			t.Errorf("%s: no error", test.name)
			continue
		}
		if l := socket.limit(err); !strings.Contains(l.Why, test.why) || l.What != "containers of docker" || l.Needs == "" {
			t.Errorf("%s: %+v", test.name, l)
		}
	}
	// One container that can't be read does not hide the others.
	socket := fakeEngine(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/containers/json":
			fmt.Fprint(w, `[{"Id":"good"},{"Id":"bad"}]`)
		case "/containers/good/json":
			fmt.Fprint(w, `{"Id":"good"}`)
		case "/networks":
			fmt.Fprint(w, `[]`)
		default:
			fmt.Fprint(w, `{`)
		}
	})
	if list, err := socket.containers(context.Background()); err == nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	l := engineSocket{engine: "docker", path: "/var/run/docker.sock"}.limit(&fs.PathError{Op: "connect", Err: unix.EACCES})
	if !strings.Contains(l.Needs, "root") {
		t.Errorf("%+v", l)
	}
	if l := (engineSocket{engine: "podman"}).limit(errEngineAsleep); l.Needs != "podman running" {
		t.Errorf("%+v", l)
	}
}

func TestRunning(t *testing.T) {
	cmd, _ := startHelper(t, "sleep", nil)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !running("/proc", strings.TrimSpace(string(comm))) || running("/proc", "no-such-daemon") || running(t.TempDir(), "x") || running("/nonexistent", "x") {
		t.Error("processes are not told apart by name")
	}
}

func TestEngineSockets(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///tmp/evil.sock")
	t.Setenv("XDG_RUNTIME_DIR", "/tmp")
	if os.Geteuid() != 0 {
		t.Skip("needs root: others may follow their environment")
	}
	for _, s := range engineSockets() {
		if strings.HasPrefix(s.path, "/tmp") {
			t.Errorf("root follows the environment to %s", s.path)
		}
	}
}

func FuzzContainer(f *testing.F) {
	for _, name := range []string{"web", "both", "made", "dead", "side", "networks"} {
		var compact any
		if err := json.Unmarshal(dockerFile(f, name), &compact); err != nil {
			f.Fatal(err)
		}
		data, _ := json.Marshal(compact)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		internal, err := parseNetworks(data)
		if err != nil && internal != nil {
			t.Fatal("networks with an error")
		}
		c, err := parseContainer("docker", data, map[string]bool{"bridge": true})
		if err != nil {
			if c.ID != "" || errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("%+v, %v", c, err)
			}
			return
		}
		for _, s := range append([]string{c.ID, c.Name, c.Image, c.State, c.Mode, c.Project, c.ComposeFile, c.Pid1}, c.Networks...) {
			if s != host.Clean([]byte(s), len(s)) {
				t.Fatalf("not clean: %q", s)
			}
		}
		if c.PID < 0 || len(c.Ports) > maxPortMappings || len(c.Exposed) > maxPortMappings || len(c.Networks) > 64 {
			t.Fatalf("%+v", c)
		}
	})
}
