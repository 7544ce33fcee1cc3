//go:build linux

package linux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	engineTimeout = time.Second
	engineBytes   = 16 << 20
	maxContainers = 512
	engineCalls   = 8 // at once
)

// engineSocket is where a container engine may answer.
type engineSocket struct {
	engine string
	path   string
	// daemon is the process that must run already: systemd holds the socket, and
	// a connection would start it.
	daemon string
}

// Containers asks Docker and Podman for their containers, where they run.
func (h *Host) Containers(ctx context.Context) (host.Containers, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	var result host.Containers
	for _, socket := range engineSockets() {
		list, err := socket.containers(ctx)
		result.List = append(result.List, list...)
		if err != nil {
			result.Limits = append(result.Limits, socket.limit(err))
		}
	}
	return result, nil
}

// engineSockets lists the sockets that are there. A privileged caller's
// environment is not followed: whoever set it would choose what root talks to.
func engineSockets() []engineSocket {
	candidates := []engineSocket{
		{"docker", "/var/run/docker.sock", "dockerd"},
		{"podman", "/run/podman/podman.sock", "podman"},
	}
	if unix.Geteuid() != 0 && unix.Geteuid() == unix.Getuid() {
		if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
			candidates = append(candidates,
				engineSocket{"podman", filepath.Join(dir, "podman/podman.sock"), "podman"},
				engineSocket{"docker", filepath.Join(dir, "docker.sock"), "dockerd"})
		}
		if u, err := url.Parse(os.Getenv("DOCKER_HOST")); err == nil && u.Scheme == "unix" && filepath.IsAbs(u.Path) {
			candidates = append(candidates, engineSocket{"docker", u.Path, ""})
		}
	}
	var sockets []engineSocket
	var seen []os.FileInfo
	for _, candidate := range candidates {
		info, err := os.Stat(candidate.path)
		if err != nil || info.Mode().Type() != os.ModeSocket {
			continue
		}
		// podman-docker links one to the other.
		known := false
		for _, other := range seen {
			known = known || os.SameFile(info, other)
		}
		if known {
			continue
		}
		seen = append(seen, info)
		if target, err := filepath.EvalSymlinks(candidate.path); err == nil && strings.Contains(target, "podman") {
			candidate.engine, candidate.daemon = "podman", "podman"
		}
		sockets = append(sockets, candidate)
	}
	return sockets
}

var errEngineAsleep = errors.New("the engine is not running, and asking would start it")

// limit says what a failure hides.
func (s engineSocket) limit(err error) host.Limit {
	l := host.Limit{What: "containers of " + s.engine, Why: clean(err.Error(), 300), Needs: "an answer from " + clean(s.path, 200)}
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		l.Needs = "root, or membership in the group of " + clean(s.path, 200)
	case errors.Is(err, errEngineAsleep):
		l.Needs = s.engine + " running"
	case errors.Is(err, context.DeadlineExceeded):
		l.Why = "no answer within " + engineTimeout.String()
	}
	return l
}

// containers lists one engine's containers; with an error, those that were read.
func (s engineSocket) containers(ctx context.Context) ([]host.Container, error) {
	// Only a service manager holds sockets for others.
	if _, err := os.Stat("/run/systemd/system"); err == nil && s.daemon != "" && !running("/proc", s.daemon) {
		return nil, fmt.Errorf("%s: %w", s.path, errEngineAsleep)
	}
	client := engineClient(s.path)
	defer client.CloseIdleConnections()
	data, err := engineGet(ctx, client, "/containers/json?all=1")
	if err != nil {
		return nil, err
	}
	var brief []struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal(data, &brief); err != nil {
		return nil, fmt.Errorf("read the list of containers: %w", err)
	}
	// Without the networks only Container.Internal is not known.
	internal := map[string]bool{}
	data, networksErr := engineGet(ctx, client, "/networks")
	if networksErr == nil {
		internal, networksErr = parseNetworks(data)
	}
	var tooMany error
	if len(brief) > maxContainers {
		tooMany = fmt.Errorf("%d containers, %d were read", len(brief), maxContainers)
		brief = brief[:maxContainers]
	}

	results := make([]host.Container, len(brief))
	errs := make([]error, len(brief))
	var wg sync.WaitGroup
	slots := make(chan struct{}, engineCalls)
	for i, b := range brief {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			data, err := engineGet(ctx, client, "/containers/"+url.PathEscape(b.ID)+"/json")
			if err == nil {
				results[i], err = parseContainer(s.engine, data, internal)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	var list []host.Container
	for i, c := range results {
		// One that was removed meanwhile is no failure.
		if errs[i] != nil {
			if errors.Is(errs[i], host.ErrNotFound) {
				errs[i] = nil
			}
			continue
		}
		if c.PID > 0 {
			// Without the right to read it the namespace stays unknown.
			c.NetNS, _ = inodeOf(fmt.Sprintf("/proc/%d/ns/net", c.PID))
		}
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	errs = append(errs, networksErr, tooMany)
	for _, err := range errs {
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

// engineClient speaks HTTP over one unix socket. It is not the client of
// moby/moby: that adds 2.7 ms to the start of the program for three GETs.
func engineClient(path string) *http.Client {
	return &http.Client{
		Transport: getOnly{&http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", path)
			},
			MaxIdleConnsPerHost:    engineCalls,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// getOnly lets nothing through that could change something: the engine's socket
// is as good as root.
type getOnly struct{ next *http.Transport }

func (g getOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.Body != nil && r.Body != http.NoBody {
		return nil, fmt.Errorf("%s %s: only GET may be sent to a container engine", r.Method, r.URL.Path)
	}
	return g.next.RoundTrip(r)
}

func (g getOnly) CloseIdleConnections() { g.next.CloseIdleConnections() }

func engineGet(ctx context.Context, client *http.Client, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		// The URL in front says nothing.
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, engineBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > engineBytes:
		return nil, fmt.Errorf("GET %s: the answer is over %d MiB", path, engineBytes>>20)
	case response.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("GET %s: %w", path, host.ErrNotFound)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("GET %s: %s: %s", path, clean(response.Status, 100), clean(strings.TrimSpace(string(data)), 200))
	}
	return data, nil
}

// running reports whether a process of that name can be seen.
func running(proc, name string) bool {
	dir, err := os.Open(proc)
	if err != nil {
		return false
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, pid := range names {
		if pid[0] < '1' || pid[0] > '9' {
			continue
		}
		fd, err := unix.Open(filepath.Join(proc, pid, "comm"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		var comm [17]byte
		n, err := unix.Read(fd, comm[:])
		unix.Close(fd)
		if err == nil && strings.TrimSpace(string(comm[:max(n, 0)])) == name {
			return true
		}
	}
	return false
}
