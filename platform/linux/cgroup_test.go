//go:build linux

package linux

import (
	"strings"
	"testing"
)

const testID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseMembership(t *testing.T) {
	const user = "/user.slice/user-1000.slice/user@1000.service"
	for _, c := range []struct {
		name, in string
		want     membership
	}{
		{"unit", "0::/system.slice/nginx.service\n", membership{path: "/system.slice/nginx.service", unit: "nginx.service"}},
		{"deep unit", "0::/system.slice/system-postgresql.slice/postgresql@15-main.service/sub\n", membership{path: "/system.slice/system-postgresql.slice/postgresql@15-main.service/sub", unit: "postgresql@15-main.service"}},
		{"escaped unit", "0::/system.slice/_cpu.service\n", membership{path: "/system.slice/_cpu.service", unit: "cpu.service"}},
		{"pid 1", "0::/init.scope\n", membership{path: "/init.scope", unit: "init.scope"}},
		{"session", "0::/user.slice/user-1000.slice/session-3.scope\n", membership{path: "/user.slice/user-1000.slice/session-3.scope"}},
		{"user unit", "0::" + user + "/app.slice/app.service\n", membership{path: user + "/app.slice/app.service", userUnit: "app.service"}},
		{"user manager", "0::" + user + "/init.scope\n", membership{path: user + "/init.scope", unit: "user@1000.service"}},
		{"none", "0::/\n", membership{path: "/"}},
		{"v1", "12:freezer:/fz\n3:cpu,cpuacct:/system.slice\n1:name=systemd:/system.slice/ssh.service\n", membership{path: "/system.slice/ssh.service", unit: "ssh.service", freezer: "/fz"}},
		{"hybrid", "1:name=systemd:/system.slice/ssh.service\n0::/system.slice/ssh.service\n", membership{path: "/system.slice/ssh.service", unit: "ssh.service"}},
		{"hybrid, unified not in use", "1:name=systemd:/system.slice/ssh.service\n0::/\n", membership{path: "/system.slice/ssh.service", unit: "ssh.service"}},
		{"docker by systemd", "0::/system.slice/docker-" + testID + ".scope\n", membership{path: "/system.slice/docker-" + testID + ".scope", container: testID}},
		{"docker by cgroupfs", "0::/docker/" + testID + "\n", membership{path: "/docker/" + testID, container: testID}},
		{"docker in v1 only", "4:memory:/docker/" + testID + "\n0::/\n", membership{path: "/", container: testID}},
		{"podman", "0::/machine.slice/libpod-" + testID + ".scope/container\n", membership{path: "/machine.slice/libpod-" + testID + ".scope/container", container: testID}},
		{"podman's monitor", "0::/machine.slice/libpod-conmon-" + testID + ".scope\n", membership{path: "/machine.slice/libpod-conmon-" + testID + ".scope", unit: "libpod-conmon-" + testID + ".scope"}},
		{"podman in a unit", "0::/system.slice/web.service/libpod-payload-" + testID + "\n", membership{path: "/system.slice/web.service/libpod-payload-" + testID, unit: "web.service", container: testID}},
		{"kubernetes", "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + testID + ".scope\n", membership{path: "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + testID + ".scope", container: testID}},
		{"containerd without systemd", "0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" + testID + "\n", membership{path: "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" + testID, unit: "containerd.service", container: testID}},
		{"nested: the outer one", "0::/docker/" + testID + "/docker/" + strings.Repeat("f", 64) + "\n", membership{path: "/docker/" + testID + "/docker/" + strings.Repeat("f", 64), container: testID}},
		{"not an id", "0::/docker/" + strings.Repeat("g", 64) + "\n", membership{path: "/docker/" + strings.Repeat("g", 64)}},
		{"from another namespace", "0::/../system.slice/a.service\n", membership{path: "/../system.slice/a.service", unit: "a.service"}},
		{"empty", "", membership{}},
		{"garbage", "x\n::\n0:\n1:a\n0::relative\n", membership{}},
	} {
		c.want.unified = unifiedOf(c.in)
		if got := parseMembership([]byte(c.in)); got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func unifiedOf(in string) string {
	for line := range strings.Lines(in) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::/"); ok {
			return "/" + path
		}
	}
	return ""
}

func TestContainerOfMounts(t *testing.T) {
	for in, want := range map[string]string{
		"700 600 8:1 /var/lib/docker/containers/" + testID + "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n":                          testID,
		"700 600 0:25 /containers/storage/overlay-containers/" + testID + "/userdata/resolv.conf /etc/resolv.conf rw - tmpfs tmpfs rw\n": testID,
		"700 600 8:1 /var/lib/docker/containers/" + testID + "/hostname /mnt rw - ext4 /dev/sda1 rw\n":                                   "",
		"700 600 8:1 /var/lib/docker/containers/short/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n":                                   "",
		"700 600 8:1 /etc/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n":                                                               "",
		"garbage\n": "", "": "",
	} {
		if got := containerOfMounts([]byte(in)); got != want {
			t.Errorf("%.60q: %q, want %q", in, got, want)
		}
	}
}

func TestParseCgroupMounts(t *testing.T) {
	const hybrid = `30 1 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
31 1 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 1 0:27 /docker/x /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
33 1 0:28 / /mnt/a\040b rw - cgroup cgroup rw,name=systemd
broken
`
	m := parseCgroupMounts([]byte(hybrid))
	if m.unified != (cgroupMount{"/sys/fs/cgroup/unified", "/"}) || m.v1["cpuacct"].path != "/sys/fs/cgroup/cpu,cpuacct" ||
		m.v1["freezer"].root != "/docker/x" || m.v1["name=systemd"].path != "/mnt/a b" {
		t.Errorf("%+v", m)
	}
	for group, want := range map[string]string{
		"/docker/x": "/sys/fs/cgroup/freezer", "/docker/x/y": "/sys/fs/cgroup/freezer/y", "/docker/xy": "", "/": "",
		"/docker/x/../..": "", "docker/x": "", "": "",
	} {
		if got := m.v1["freezer"].dir(group); got != want {
			t.Errorf("directory of %q: %q, want %q", group, got, want)
		}
	}
	if got := m.unified.dir("/"); got != "/sys/fs/cgroup/unified" {
		t.Errorf("directory of the root group: %q", got)
	}
}

func TestParseCgroupValues(t *testing.T) {
	for in, want := range map[string]int64{"max\n": 0, "9223372036854771712\n": 0, "1048576\n": 1048576, "-1": 0, "": 0, "x": 0} {
		if got := parseCgroupNumber([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	const events = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n"
	for key, want := range map[string]int64{"oom_kill": 2, "oom": 3, "kill": 0} {
		if got := parseCgroupKey([]byte(events), key); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}
