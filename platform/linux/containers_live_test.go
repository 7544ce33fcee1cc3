//go:build linux

package linux

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// TestDocker asks a real dockerd, in a namespace of its own.
func TestDocker(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		t.Skip("needs dockerd")
	}
	client, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("needs docker, the client")
	}
	name, _ := labNetNS(t, "docker")
	// A unix socket's path has room for 107 bytes.
	dir, err := os.MkdirTemp("", "pw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("umount", filepath.Join(dir, "e/netns/default")).Run()
		_ = os.RemoveAll(dir)
	})
	parent := filepath.Base(dir)
	t.Cleanup(func() {
		for _, pattern := range []string{"/sys/fs/cgroup/" + parent, "/sys/fs/cgroup/*/" + parent} {
			groups, _ := filepath.Glob(pattern)
			for _, group := range groups {
				_ = os.Remove(group)
			}
		}
	})
	socket := engineSocket{engine: "docker", path: filepath.Join(dir, "s")}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("nsenter", "--net=/run/netns/"+name, dockerd, "--data-root", filepath.Join(dir, "d"),
		"--exec-root", filepath.Join(dir, "e"), "-H", "unix://"+socket.path, "--pidfile", filepath.Join(dir, "pid"), "--cgroup-parent", "/"+parent)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
		}
	})
	docker := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(client, append([]string{"-H", "unix://" + socket.path}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("docker %v: %v: %s", args, err, out)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_, err := socket.containers(context.Background())
		if err == nil {
			break
		}
		select {
		case <-ended:
		default:
			if time.Now().Before(deadline) {
				continue
			}
		}
		text, _ := os.ReadFile(log.Name())
		t.Skipf("dockerd does not run here: %v\n%s", err, text)
	}
	source := filepath.Join(dir, "srv.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(time.Hour) }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "srv"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	command(t, "tar", "-C", dir, "-cf", filepath.Join(dir, "srv.tar"), "srv")
	docker("import", "--change", "EXPOSE 9000/udp", filepath.Join(dir, "srv.tar"), "srv:1")
	docker("network", "create", "--internal", "inner")
	docker("run", "-d", "--name", "web", "-p", "8088:80", "-p", "127.0.0.1:8089:81", "--label", "com.docker.compose.project=shop", "srv:1", "/srv")
	docker("run", "-d", "--name", "inside", "--network", "inner", "srv:1", "/srv")
	docker("create", "--name", "made", "-p", "8188:80", "srv:1", "/srv")

	start := time.Now()
	list, err := socket.containers(context.Background())
	took := time.Since(start)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	t.Logf("3 containers in %v", took)
	byName := map[string]host.Container{}
	for _, c := range list {
		byName[c.Name] = c
	}
	web := byName["web"]
	if got := showContainer(web); !strings.Contains(got, "running bridge exit=0 pid=true [bridge]") || !strings.Contains(got, "0.0.0.0:8088>80/tcp") || !strings.Contains(got, "127.0.0.1:8089>81/tcp") || !strings.HasSuffix(got, " 9000/udp") {
		t.Error(got)
	}
	if want, err := inodeOf("/run/netns/" + name); err != nil || web.NetNS == 0 || web.NetNS == want || web.Project != "shop" {
		t.Errorf("namespace %d (the engine's is %d), project %q, %v", web.NetNS, want, web.Project, err)
	}
	if c := byName["inside"]; !c.Internal || c.NetNS == web.NetNS {
		t.Errorf("%+v", c)
	}
	if c := byName["made"]; c.State != "created" || c.PID != 0 || c.NetNS != 0 || len(c.Ports) != 1 || c.Ports[0].Host.Port() != 8188 {
		t.Errorf("%+v", c)
	}
}
