//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	unitbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	systemdTimeout   = time.Second
	systemdName      = "org.freedesktop.systemd1"
	systemdPath      = dbus.ObjectPath("/org/freedesktop/systemd1")
	systemdInterface = "org.freedesktop.systemd1."
)

// systemd is a connection to the service manager that can ask and nothing else.
// It is not that of go-systemd, whose connection follows
// DBUS_SYSTEM_BUS_ADDRESS, connects twice and can start and stop units.
type systemd struct {
	conn *dbus.Conn
}

// openSystemd connects to the service manager: root on its private socket,
// others, or root if there is none, over the system bus. Where systemd is not
// the service manager (sd_booted(3)) that is [host.ErrUnsupported].
func openSystemd(ctx context.Context) (*systemd, error) {
	if info, err := os.Stat("/run/systemd/system"); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("systemd is not running: %w", host.ErrUnsupported)
	}
	if os.Geteuid() == 0 {
		if bus, err := dialSystemd(ctx, "/run/systemd/private", false); err == nil {
			return bus, nil
		}
	}
	bus, err := dialSystemd(ctx, "/run/dbus/system_bus_socket", true)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	return bus, nil
}

// dialSystemd connects to a socket and says who calls. On a message bus that
// begins with Hello.
func dialSystemd(ctx context.Context, path string, hello bool) (*systemd, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
			return nil, fmt.Errorf("%s: no bus: %w", path, host.ErrUnsupported)
		}
		return nil, err
	}
	// The deadline holds for the greeting too, which takes no context.
	if deadline, ok := ctx.Deadline(); ok {
		if err := socket.SetDeadline(deadline); err != nil {
			socket.Close()
			return nil, err
		}
	}
	conn, err := dbus.NewConn(socket, dbus.WithContext(ctx))
	if err != nil {
		socket.Close()
		return nil, err
	}
	bus := &systemd{conn}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		bus.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if hello {
		if err := conn.Hello(); err != nil {
			bus.close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return bus, nil
}

func (s *systemd) close() { _ = s.conn.Close() }

// unitPath is the object of a unit. Asking it makes systemd read the unit's
// file if it is not loaded, as systemctl show does.
func unitPath(name string) dbus.ObjectPath {
	return systemdPath + "/unit/" + dbus.ObjectPath(unitbus.PathBusEscape(name))
}

// ask sends a question; the answer comes over the returned call.
func (s *systemd) ask(ctx context.Context, path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	return s.conn.Object(systemdName, path).GoWithContext(ctx, method, dbus.FlagNoAutoStart, make(chan *dbus.Call, 1), args...)
}

// properties asks for all properties of one interface of a unit, such as
// Service.
func (s *systemd) properties(ctx context.Context, path dbus.ObjectPath, of string) *dbus.Call {
	return s.ask(ctx, path, "org.freedesktop.DBus.Properties.GetAll", systemdInterface+of)
}

// answer waits for the answer to a call and stores it.
func answer(call *dbus.Call, values ...any) error {
	<-call.Done
	if call.Err != nil {
		return busError(call.Err)
	}
	return call.Store(values...)
}

// busError turns the names of D-Bus errors into those of package host.
func busError(err error) error {
	var e dbus.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Name {
	case "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject":
		return fmt.Errorf("%w: %s", host.ErrNotFound, host.Clean([]byte(e.Error()), 200))
	case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.systemd1.AccessDenied":
		return fmt.Errorf("%w: %s", fs.ErrPermission, host.Clean([]byte(e.Error()), 200))
	case "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner":
		return fmt.Errorf("%w: %s", host.ErrUnsupported, host.Clean([]byte(e.Error()), 200))
	}
	return errors.New(host.Clean([]byte(e.Error()), 200))
}

// properties are a unit's properties by name. A property that is missing, or of
// another type than expected, reads as zero: versions of systemd differ.
type properties map[string]dbus.Variant

func (p properties) text(name string) string {
	s, _ := p[name].Value().(string)
	return host.Clean([]byte(s), 4096)
}

func (p properties) flag(name string) bool {
	b, _ := p[name].Value().(bool)
	return b
}

func (p properties) number(name string) uint64 {
	switch n := p[name].Value().(type) {
	case uint32:
		return uint64(n)
	case uint64:
		return n
	case int32:
		return uint64(max(n, 0))
	}
	return 0
}

func (p properties) texts(name string) []string {
	list, _ := p[name].Value().([]string)
	return cleanAll(list)
}

// time reads a property in microseconds since 1970, 0 for never.
func (p properties) time(name string) time.Time {
	n := p.number(name)
	if n == 0 || n > 1<<62 {
		return time.Time{}
	}
	return time.UnixMicro(int64(n))
}

// store decodes a property into a Go value of its shape.
func (p properties) store(name string, value any) bool {
	v, ok := p[name]
	return ok && v.Store(value) == nil
}

func cleanAll(list []string) []string {
	var clean []string
	for _, s := range list[:min(len(list), 256)] {
		clean = append(clean, host.Clean([]byte(s), 4096))
	}
	return clean
}
