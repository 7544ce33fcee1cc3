//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/portwhy/portwhy/platform/host"
)

func TestUnitName(t *testing.T) {
	for name, want := range map[string]string{
		"nginx": "nginx.service", "nginx.service": "nginx.service", "ssh.socket": "ssh.socket", "foo.timer": "foo.timer",
		"postgresql@15-main": "postgresql@15-main.service", "dbus-org.freedesktop.login1": "dbus-org.freedesktop.login1.service",
		`dev-disk\x2da.service`: `dev-disk\x2da.service`,
		"":                      "", "a b": "", "../x": "", "-x": "", "a/b.service": "", "ä": "", "a\n": "", strings.Repeat("a", 250): "",
	} {
		got, err := unitName(name)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, host.ErrNotFound) {
			t.Errorf("unitName(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestUnitOf(t *testing.T) {
	v := dbus.MakeVariant
	type listen struct{ Kind, Address string }
	type rule struct {
		Family, Protocol int32
		Ports, First     uint16
	}
	type prefix struct {
		Family  int32
		Address []byte
		Length  uint32
	}
	type set struct {
		Allow bool
		List  []string
	}
	u := unitOf("a.service", properties{
		"Id": v("b.service"), "LoadState": v("loaded"), "ActiveState": v("active"), "SubState": v("running"), "Result": v("success"),
		"ExecMainStatus": v(int32(3)), "MainPID": v(uint32(7)), "NRestarts": v(uint32(2)), "NeedDaemonReload": v(true), "Type": v("notify-reload"),
		"ConditionTimestamp": v(uint64(5)), "ConditionResult": v(false), "LimitNOFILE": v(uint64(1024)),
		"ActiveEnterTimestamp": v(uint64(2_000_000)), "InactiveExitTimestamp": v(uint64(1_000_000)), "InactiveEnterTimestamp": v(uint64(0)),
		"Listen":                  v([]listen{{"Stream", "[::]:22"}, {"Datagram", "127.0.0.1:53"}, {"Stream", "/run/x"}, {"FIFO", "/run/f"}, {"Netlink", "route 1"}}),
		"Environment":             v([]string{"PORT=1", "PASSWORD=x", "http_proxy=http://u:p@h:1"}),
		"SocketBindDeny":          v([]rule{{2, 6, 11, 80}, {10, 17, 1, 53}, {0, 0, 0, 0}, {0, 6, 0, 0}}),
		"SocketBindAllow":         v([]rule{{0, 0, 1, 443}}),
		"IPAddressDeny":           v([]prefix{{2, []byte{10, 0, 0, 0}, 8}, {10, make([]byte, 16), 0}, {2, []byte{1}, 8}}),
		"RestrictAddressFamilies": v(set{true, []string{"AF_UNIX"}}),
		"DropInPaths":             v([]string{"/d\x1b"}),
	})
	want := host.Unit{
		Name: "b.service", LoadState: "loaded", ActiveState: "active", SubState: "running", Result: "success", ExitStatus: 3, MainPID: 7, Restarts: 2,
		NeedReload: true, Notify: true, FDLimit: 1024, ActiveSince: time.UnixMicro(2_000_000), Changed: time.UnixMicro(2_000_000),
		Listens: []host.UnitListen{
			{Network: "tcp", Address: netip.MustParseAddrPort("[::]:22")}, {Network: "udp", Address: netip.MustParseAddrPort("127.0.0.1:53")}, {Network: "unix", Path: "/run/x"},
		},
		Environment: []string{"PORT=1", "http_proxy=http://h:1"},
		SocketBind:  []string{"deny ipv4:tcp:80-90", "deny ipv6:udp:53", "deny any", "deny tcp", "allow 443"}, IPAddressDeny: []string{"10.0.0.0/8", "::/0"},
		Families: []string{"AF_UNIX"}, DropIns: []string{"/d\x1b"},
	}
	if got := fmt.Sprintf("%+v", u); got != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %s\nwant %+v", got, want)
	}
	// Properties of other types than expected read as nothing.
	odd := properties{}
	for _, name := range []string{"Id", "LoadState", "MainPID", "Listen", "Environment", "SocketBindDeny", "IPAddressDeny", "RestrictAddressFamilies", "ExecStart", "DropInPaths", "ActiveEnterTimestamp", "ConditionResult"} {
		odd[name] = v([]map[string]int32{{"x": 1}})
	}
	if u := unitOf("x.service", odd); u.Name != "x.service" || !u.Condition || u.Listens != nil || u.MainPID != 0 {
		t.Errorf("%+v", u)
	}
	for _, test := range []struct {
		value set
		want  string
	}{{set{true, nil}, "[none]"}, {set{false, []string{"AF_INET"}}, "[~AF_INET]"}, {set{false, nil}, "[]"}} {
		if got := fmt.Sprint(unitOf("x", properties{"RestrictAddressFamilies": v(test.value)}).Families); got != test.want {
			t.Errorf("%+v: %s", test.value, got)
		}
	}
}

func TestEventful(t *testing.T) {
	v := dbus.MakeVariant
	for name, test := range map[string]struct {
		unit host.Unit
		p    properties
		want bool
	}{
		"runs well":       {host.Unit{ActiveState: "active", Result: "success", Condition: true, Changed: time.Now()}, properties{"ReloadResult": v("success")}, false},
		"reload failed":   {host.Unit{ActiveState: "active", Result: "success", Condition: true}, properties{"ReloadResult": v("exit-code")}, true},
		"was restarted":   {host.Unit{ActiveState: "active", Result: "success", Condition: true, Restarts: 1}, nil, true},
		"failed":          {host.Unit{ActiveState: "failed", Result: "exit-code", Condition: true}, nil, true},
		"starts":          {host.Unit{ActiveState: "activating", Result: "success", Condition: true}, nil, true},
		"never started":   {host.Unit{ActiveState: "inactive", Result: "success", Condition: true}, nil, false},
		"ended":           {host.Unit{ActiveState: "inactive", Result: "success", Condition: true, Changed: time.Now()}, nil, true},
		"kept from start": {host.Unit{ActiveState: "inactive", Result: "success"}, nil, true},
	} {
		if eventful(test.unit, test.p) != test.want {
			t.Errorf("%s: %v", name, !test.want)
		}
	}
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	unit, dropIn := filepath.Join(dir, "a.socket"), filepath.Join(dir, "b.conf")
	for path, text := range map[string]string{unit: "[Socket]\nListenStream=80\nListenStream=/run/a\n", dropIn: "[Socket]\nListenStream=81\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list := []host.UnitListen{
		{Network: "tcp", Address: netip.MustParseAddrPort("[::]:81")}, {Network: "unix", Path: "/run/a"},
		{Network: "tcp", Address: netip.MustParseAddrPort("[::]:82")}, {Network: "tcp", Address: netip.MustParseAddrPort("[::]:80")},
	}
	locate(list, "a.socket", []string{unit, dropIn, filepath.Join(dir, "gone")})
	got := ""
	for _, l := range list {
		got += fmt.Sprintf(" %s:%d", filepath.Base(l.File), l.Line)
	}
	if got != " b.conf:2 a.socket:3 .:0 a.socket:2" {
		t.Error(got)
	}
}

func TestBusError(t *testing.T) {
	for name, want := range map[string]error{
		"org.freedesktop.systemd1.NoSuchUnit":       host.ErrNotFound,
		"org.freedesktop.DBus.Error.AccessDenied":   fs.ErrPermission,
		"org.freedesktop.DBus.Error.ServiceUnknown": host.ErrUnsupported,
		"org.freedesktop.DBus.Error.NameHasNoOwner": host.ErrUnsupported,
	} {
		if err := busError(dbus.Error{Name: name, Body: []any{"text"}}); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := busError(dbus.Error{Name: "x", Body: []any{"a\xff"}}); err.Error() != `a\xff` {
		t.Errorf("%q", err)
	}
	if err := busError(io.EOF); err != io.EOF {
		t.Error(err)
	}
}

// TestDialSystemd has sockets on which no systemd answers.
func TestDialSystemd(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := dialSystemd(ctx, filepath.Join(dir, "none"), false); !errors.Is(err, host.ErrUnsupported) {
		t.Errorf("no socket: %v", err)
	}
	path := filepath.Join(dir, "silent")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start := time.Now()
	if _, err := dialSystemd(ctx, path, true); err == nil {
		t.Error("a silent socket is a bus")
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
	path = filepath.Join(dir, "odd")
	odd, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer odd.Close()
	go func() {
		for {
			c, err := odd.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}
	}()
	ctx2, cancel2 := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel2()
	if _, err := dialSystemd(ctx2, path, true); err == nil {
		t.Error("something else is a bus")
	}
}

func TestUnitsWithoutSystemd(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here")
	}
	h := &Host{}
	if _, err := h.Units(context.Background()); !errors.Is(err, host.ErrUnsupported) {
		t.Errorf("units: %v", err)
	}
	if _, err := h.Unit(context.Background(), "ssh"); !errors.Is(err, host.ErrUnsupported) {
		t.Errorf("unit: %v", err)
	}
	if lines := journalLines(context.Background(), "ssh.service"); len(lines) > journalLast {
		t.Errorf("%d lines", len(lines))
	}
}

func TestBoundedBuffer(t *testing.T) {
	b := &boundedBuffer{max: 5}
	for range 3 {
		if n, err := b.Write([]byte("abc")); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if b.String() != "abcab" {
		t.Errorf("%q", b.String())
	}
}

// TestSystemd runs systemd as pid 1 of namespaces of its own and asks it.
func TestSystemd(t *testing.T) {
	if os.Getenv("PORTWHY_TEST_SYSTEMD") != "" {
		askSystemd(t)
		return
	}
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	runInSystemd(t, "^TestSystemd$", "PORTWHY_TEST_SYSTEMD=1", map[string]string{
		"web.socket":             "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=127.0.0.1:8088\nListenStream=\nListenStream=8089\nListenDatagram=[::1]:8090\n",
		"web.socket.d/more.conf": "[Socket]\nListenStream=/run/web.sock\n",
		"web.service":            "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/cat\nStandardInput=socket\n",
		"fails.service":          "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sh -c \"echo cannot bind port 4711; exit 3\"\n",
		"bound.service":          "[Unit]\nDefaultDependencies=no\n[Service]\nEnvironment=PORT=8080 SECRET=x\nExecStart=/bin/sleep 1000\nSocketBindDeny=ipv4:tcp:80-90\nSocketBindAllow=any\nIPAddressDeny=10.0.0.0/8\nRestrictAddressFamilies=AF_UNIX\nLimitNOFILE=77\n",
		"kept.service":           "[Unit]\nDefaultDependencies=no\nConditionPathExists=/nonexistent\n[Service]\nExecStart=/bin/true\n",
		"masked.service":         "->/dev/null",
		"docker.socket":          "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/docker.sock\nSocketMode=0666\n",
		"docker.service":         "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep 1000\n",
	})
}

// askSystemd runs within the namespaces, as root, then as nobody.
func askSystemd(t *testing.T) {
	h := &Host{}
	ctx := context.Background()
	var units []host.Unit
	var err error
	// The lab's units start while we ask.
	for range 100 {
		if units, err = h.Units(ctx); err == nil && slices.ContainsFunc(units, func(u host.Unit) bool { return u.Name == "fails.service" && u.ActiveState == "failed" }) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	start := time.Now()
	if units, err = h.Units(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("as uid %d: %d units in %v", os.Geteuid(), len(units), time.Since(start))
	socket := find(t, "web.socket", units, func(u host.Unit) bool { return u.Name == "web.socket" })
	if len(socket.Listens) != 3 || socket.ActiveState != "active" || socket.SubState != "listening" {
		t.Errorf("%+v", socket)
	}
	if u := find(t, "bound.service", units, func(u host.Unit) bool { return u.Name == "bound.service" }); u.MainPID == 0 || u.SubState != "running" {
		t.Errorf("%+v", u)
	}
	get := func(name string) host.Unit {
		t.Helper()
		start := time.Now()
		u, err := h.Unit(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s in %v", name, time.Since(start))
		return u
	}
	u := get("web.socket")
	if fmt.Sprint(u.Listens) != "[{tcp [::]:8089  /run/systemd/system/web.socket 6} {udp [::1]:8090  /run/systemd/system/web.socket 7} {unix invalid AddrPort /run/web.sock /run/systemd/system/web.socket.d/more.conf 2}]" {
		t.Errorf("%+v", u.Listens)
	}
	if fmt.Sprint(u.Triggers, u.DropIns) != "[web.service] [/run/systemd/system/web.socket.d/more.conf]" {
		t.Errorf("%+v", u)
	}
	if u := get("web"); u.ActiveState != "inactive" || fmt.Sprint(u.TriggeredBy) != "[web.socket]" {
		t.Errorf("%+v", u)
	}
	u = get("fails")
	if u.ActiveState != "failed" || u.Result != "exit-code" || u.ExitStatus != 3 || fmt.Sprint(u.ExecStart) != "[[/bin/sh -c echo cannot bind port 4711; exit 3]]" || u.Changed.IsZero() {
		t.Errorf("%+v", u)
	}
	if os.Geteuid() == 0 && !slices.Contains(u.Log, "cannot bind port 4711") {
		t.Errorf("log %q", u.Log)
	}
	u = get("bound.service")
	if fmt.Sprint(u.Environment, u.SocketBind, u.IPAddressDeny, u.Families, u.FDLimit) != "[PORT=8080] [deny ipv4:tcp:80-90 allow any] [10.0.0.0/8] [AF_UNIX] 77" ||
		u.MainPID == 0 || u.ActiveSince.IsZero() || !strings.HasSuffix(u.ControlGroup, "/bound.service") || u.File != "/run/systemd/system/bound.service" {
		t.Errorf("%+v", u)
	}
	if u := get("kept"); u.Condition || u.ActiveState != "inactive" {
		t.Errorf("%+v", u)
	}
	if u := get("masked"); u.LoadState != "masked" {
		t.Errorf("%+v", u)
	}
	if _, err := h.Unit(ctx, "no-such-unit"); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// To ask Docker where only its socket is there would start it.
	containers, err := h.Containers(ctx)
	if err != nil || len(containers.List) != 0 || len(containers.Limits) != 1 || containers.Limits[0].Needs != "docker running" {
		t.Errorf("%+v, %v", containers, err)
	}
	if u := get("docker"); u.ActiveState != "inactive" {
		t.Errorf("docker was started: %+v", u)
	}
	// A file that changed under systemd.
	if os.Geteuid() != 0 {
		return
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes("/run/systemd/system/bound.service", later, later); err != nil {
		t.Fatal(err)
	}
	if u := get("bound.service"); !u.NeedReload {
		t.Errorf("%+v", u)
	}
	claims, err := h.Claims(ctx)
	if err != nil || !slices.ContainsFunc(claims.List, func(c host.Claim) bool {
		return c.Unit == "web.socket" && c.Port == 8089 && c.File == "/run/systemd/system/web.socket" && c.Line == 6
	}) {
		t.Errorf("%v, %v", showClaims(claims.List), err)
	}
}
