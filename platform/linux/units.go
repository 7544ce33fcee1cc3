//go:build linux

package linux

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/config"
	"github.com/portwhy/portwhy/platform/host"
)

const maxUnits = 5000

// Unit describes one unit of systemd. A name without a suffix is a service.
func (h *Host) Unit(ctx context.Context, name string) (host.Unit, error) {
	name, err := unitName(name)
	if err != nil {
		return host.Unit{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, systemdTimeout)
	defer cancel()
	bus, err := openSystemd(ctx)
	if err != nil {
		return host.Unit{}, fmt.Errorf("unit %s: %w", name, err)
	}
	defer bus.close()
	path := unitPath(name)
	general := bus.properties(ctx, path, "Unit")
	var special *dbus.Call
	if kind := unitKind(name); kind != "" {
		special = bus.properties(ctx, path, kind)
	}
	p := properties{}
	if err := answer(general, &p); err != nil {
		return host.Unit{}, fmt.Errorf("unit %s: %w", name, err)
	}
	if p.text("LoadState") == "not-found" {
		return host.Unit{}, fmt.Errorf("unit %s: %w", name, host.ErrNotFound)
	}
	if special != nil {
		own := properties{}
		if err := answer(special, &own); err != nil {
			return host.Unit{}, fmt.Errorf("unit %s: %w", name, err)
		}
		for key, value := range own {
			p[key] = value
		}
	}
	u := unitOf(name, p)
	locate(u.Listens, name, append([]string{u.File}, u.DropIns...))
	if eventful(u, p) {
		u.Log = journalLines(ctx, u.Name)
	}
	return u, nil
}

// eventful reports whether the journal may tell something: not of a unit that
// never started, nor of one that started and reloaded well. To ask costs more
// than all the rest.
func eventful(u host.Unit, p properties) bool {
	if u.ActiveState == "active" && u.Restarts == 0 && u.Result == "success" {
		reload := p.text("ReloadResult")
		return reload != "" && reload != "success"
	}
	return u.ActiveState != "inactive" || !u.Changed.IsZero() || !u.Condition
}

// Units lists the loaded services and sockets, in brief.
func (h *Host) Units(ctx context.Context) ([]host.Unit, error) {
	ctx, cancel := context.WithTimeout(ctx, systemdTimeout)
	defer cancel()
	bus, err := openSystemd(ctx)
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	defer bus.close()
	// systemd has this method since version 230.
	call := bus.ask(ctx, systemdPath, systemdInterface+"Manager.ListUnitsByPatterns", []string{}, []string{"*.service", "*.socket"})
	var list []listedUnit
	if err := answer(call, &list); err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	list = list[:min(len(list), maxUnits)]
	units := make([]host.Unit, 0, len(list))
	calls := make([]*dbus.Call, 0, len(list))
	for _, l := range list {
		if l.LoadState == "not-found" {
			continue
		}
		units = append(units, host.Unit{
			Name: host.Clean([]byte(l.Name), 255), Description: host.Clean([]byte(l.Description), 255),
			LoadState: l.LoadState, ActiveState: l.ActiveState, SubState: l.SubState, Condition: true,
		})
		// All questions go out before the first answer is read.
		const get = "org.freedesktop.DBus.Properties.Get"
		switch {
		case strings.HasSuffix(l.Name, ".socket"):
			calls = append(calls, bus.ask(ctx, l.Path, get, systemdInterface+"Socket", "Listen"))
		case l.SubState == "running" || l.ActiveState == "activating" || l.ActiveState == "reloading":
			calls = append(calls, bus.ask(ctx, l.Path, get, systemdInterface+"Service", "MainPID"))
		default:
			calls = append(calls, nil)
		}
	}
	for i, call := range calls {
		if call == nil {
			continue
		}
		var value dbus.Variant
		// A unit that went away meanwhile has no address and no process.
		if err := answer(call, &value); err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("list units: %w", ctx.Err())
			}
			continue
		}
		p := properties{"Listen": value, "MainPID": value}
		if strings.HasSuffix(units[i].Name, ".socket") {
			units[i].Listens = listens(p)
		} else {
			units[i].MainPID = int(p.number("MainPID"))
		}
	}
	return units, nil
}

// listedUnit is an element of ListUnits' answer, in its order.
type listedUnit struct {
	Name, Description, LoadState, ActiveState, SubState, Following string
	Path                                                           dbus.ObjectPath
	JobID                                                          uint32
	JobType                                                        string
	JobPath                                                        dbus.ObjectPath
}

// unitName checks a unit's name (systemd.unit(5): letters, digits and ":-_.\@",
// at most 255 bytes) and adds .service where there is no suffix.
func unitName(name string) (string, error) {
	full := name
	if !strings.Contains(name, ".") || unitKind(name) == "" && !knownSuffix(name) {
		full += ".service"
	}
	valid := name != "" && name[0] != '-' && len(full) <= 255
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(`:-_.\@`, c) >= 0:
		default:
			valid = false
		}
	}
	if !valid {
		return "", fmt.Errorf("unit %q: not a unit's name: %w", host.Clean([]byte(name), 100), host.ErrNotFound)
	}
	return full, nil
}

func knownSuffix(name string) bool {
	switch filepath.Ext(name) {
	case ".target", ".slice", ".mount", ".swap", ".path", ".timer", ".device", ".automount":
		return true
	}
	return false
}

// unitKind is the interface of the unit's own kind, for those that matter here.
func unitKind(name string) string {
	switch filepath.Ext(name) {
	case ".service":
		return "Service"
	case ".socket":
		return "Socket"
	case ".scope":
		return "Scope"
	}
	return ""
}

// unitOf puts properties into words.
func unitOf(name string, p properties) host.Unit {
	u := host.Unit{
		Name:         name,
		Description:  p.text("Description"),
		LoadState:    p.text("LoadState"),
		ActiveState:  p.text("ActiveState"),
		SubState:     p.text("SubState"),
		Result:       p.text("Result"),
		ExitStatus:   int(p.number("ExecMainStatus")),
		MainPID:      int(p.number("MainPID")),
		ControlGroup: p.text("ControlGroup"),
		Restarts:     int(p.number("NRestarts")),
		NeedReload:   p.flag("NeedDaemonReload"),
		// Before the first start there was no condition to fail.
		Condition:   p.number("ConditionTimestamp") == 0 || p.flag("ConditionResult"),
		Enabled:     p.text("UnitFileState"),
		File:        p.text("FragmentPath"),
		DropIns:     p.texts("DropInPaths"),
		Triggers:    p.texts("Triggers"),
		TriggeredBy: p.texts("TriggeredBy"),
		Listens:     listens(p),
		FDLimit:     p.number("LimitNOFILE"),
		Notify:      strings.HasPrefix(p.text("Type"), "notify"),
	}
	if id := p.text("Id"); id != "" {
		u.Name = id
	}
	for _, name := range []string{"ActiveEnterTimestamp", "ActiveExitTimestamp", "InactiveEnterTimestamp", "InactiveExitTimestamp"} {
		if t := p.time(name); t.After(u.Changed) {
			u.Changed = t
		}
	}
	if u.ActiveState == "active" || u.ActiveState == "reloading" {
		u.ActiveSince = p.time("ActiveEnterTimestamp")
	}
	var commands []struct {
		Path                     string
		Args                     []string
		Ignore                   bool
		Start, StartM, End, EndM uint64
		PID                      uint32
		Code, Status             int32
	}
	if p.store("ExecStart", &commands) {
		for _, c := range commands[:min(len(commands), 64)] {
			u.ExecStart = append(u.ExecStart, cleanAll(c.Args))
		}
	}
	var environment []string
	p.store("Environment", &environment)
	for _, assignment := range environment {
		if name, value, ok := host.Environment(assignment); ok && len(u.Environment) < 64 {
			u.Environment = append(u.Environment, name+"="+value)
		}
	}
	u.SocketBind = append(socketBind(p, "SocketBindDeny", "deny"), socketBind(p, "SocketBindAllow", "allow")...)
	u.IPAddressDeny = prefixes(p, "IPAddressDeny")
	u.Families = families(p)
	return u
}

// listens reads the addresses that systemd listens at for a socket unit.
func listens(p properties) []host.UnitListen {
	var pairs []struct{ Kind, Address string }
	p.store("Listen", &pairs)
	var list []host.UnitListen
	for _, pair := range pairs[:min(len(pairs), 256)] {
		if l, ok := config.Listen("Listen"+pair.Kind, pair.Address); ok {
			list = append(list, l)
		}
	}
	return list
}

// locate finds the lines that set a socket's addresses.
func locate(list []host.UnitListen, name string, paths []string) {
	if len(list) == 0 {
		return
	}
	var files []config.File
	for _, path := range paths[:min(len(paths), 64)] {
		if data, modified, err := readRegular(path, maxConfigFile); err == nil {
			files = append(files, config.File{Path: path, Data: data, Modified: modified})
		}
	}
	for _, set := range config.ParseUnit(name, files).Listens {
		for i, l := range list {
			if l.File == "" && l.Network == set.Network && l.Path == set.Path && l.Address == set.Address {
				list[i].File, list[i].Line = set.File, set.Line
				break
			}
		}
	}
}

// socketBind reads rules as "deny ipv4:tcp:80-90" (systemd.resource-control(5),
// SocketBindAllow=).
func socketBind(p properties, name, verb string) []string {
	var rules []struct {
		Family, Protocol int32
		Ports, First     uint16
	}
	p.store(name, &rules)
	var list []string
	for _, r := range rules[:min(len(rules), 256)] {
		var parts []string
		switch r.Family {
		case unix.AF_INET:
			parts = append(parts, "ipv4")
		case unix.AF_INET6:
			parts = append(parts, "ipv6")
		}
		switch r.Protocol {
		case unix.IPPROTO_TCP:
			parts = append(parts, "tcp")
		case unix.IPPROTO_UDP:
			parts = append(parts, "udp")
		}
		switch {
		case r.Ports == 1:
			parts = append(parts, fmt.Sprint(r.First))
		case r.Ports > 1:
			parts = append(parts, fmt.Sprintf("%d-%d", r.First, int(r.First)+int(r.Ports)-1))
		case len(parts) == 0:
			parts = append(parts, "any")
		}
		list = append(list, verb+" "+strings.Join(parts, ":"))
	}
	return list
}

// prefixes reads a list of (family, address, length).
func prefixes(p properties, name string) []string {
	var items []struct {
		Family  int32
		Address []byte
		Length  uint32
	}
	p.store(name, &items)
	var list []string
	for _, item := range items[:min(len(items), 256)] {
		if address, ok := netip.AddrFromSlice(item.Address); ok {
			list = append(list, netip.PrefixFrom(address, int(min(item.Length, 128))).String())
		}
	}
	return list
}

// families reads RestrictAddressFamilies=: (whether it is a list of what is
// allowed, the list). "none" means that the process may make no socket.
func families(p properties) []string {
	var value struct {
		Allow bool
		List  []string
	}
	if !p.store("RestrictAddressFamilies", &value) {
		return nil
	}
	list := cleanAll(value.List)
	switch {
	case value.Allow && len(list) == 0:
		return []string{"none"}
	case !value.Allow:
		for i := range list {
			list[i] = "~" + list[i]
		}
	}
	return list
}
