package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/checks"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform/host"
)

// applied compares configurations with what their programs listen on: a program
// that runs, and listens elsewhere but not on the port of the file, has not read
// it, or reads another one.
func (r *run) applied() {
	var programs []string
	for _, d := range r.declared {
		if d.Program != "" && !slices.Contains(programs, d.Program) {
			programs = append(programs, d.Program)
		}
	}
	if len(programs) == 0 {
		return
	}
	running, err := r.listening()
	if err != nil {
		r.limit(diagnose.LimitOf("what the programs of these files listen on", err))
		return
	}
	for i, d := range r.declared {
		if d.Program == "" || d.Doubt != "" || r.results[i] == Own {
			continue
		}
		own := running[d.Program]
		if d.Unit != "" && len(own.sockets) == 0 {
			own = running[d.Unit]
		}
		if own.process.PID == 0 || len(own.sockets) == 0 || slices.ContainsFunc(own.sockets, func(s host.Socket) bool {
			return s.Network == d.Network && d.Ports.Has(s.Local.Port())
		}) {
			continue
		}
		var where []string
		for _, s := range own.sockets {
			if at := fmt.Sprintf("%s/%s", s.Local, s.Network); !slices.Contains(where, at) && len(where) < 4 {
				where = append(where, at)
			}
		}
		f := about(d, "config-not-applied", plan.Warning, d.Ports.First)
		f.Title = fmt.Sprintf("%s says port %s, but %s (pid %d) listens on %s: it has not read the file since it was changed, or reads another one", place(d.File, d.Line, 0), d.Ports, own.process.Name, own.process.PID, strings.Join(where, ", "))
		f.Culprit = &diagnose.Culprit{Kind: "config", File: d.File, Line: d.Line, Text: d.Text, Unit: own.process.Unit, PID: own.process.PID, Name: own.process.Name}
		if own.process.Unit != "" {
			f.Fixes = []diagnose.Fix{{Title: "restart it so that it reads the file", NeedsRoot: true, Opens: "what the file says", Risk: "medium",
				Commands: [][]string{{"systemctl", "restart", own.process.Unit}}}}
		}
		r.find(f)
	}
}

// listener is a program that runs, and its sockets that take connections.
type listener struct {
	process host.Process
	sockets []host.Socket
}

// listening groups sockets by the programs and units that have them.
func (r *run) listening() (map[string]listener, error) {
	var socks []host.Socket
	for _, q := range []host.SocketQuery{{Network: "tcp", States: []host.State{host.Listen}}, {Network: "udp", States: []host.State{host.Unconn}}} {
		list, err := r.host.Sockets(r.ctx, q)
		if err != nil {
			return nil, err
		}
		socks = append(socks, list...)
	}
	inodes := make([]uint64, 0, len(socks))
	for _, s := range socks {
		if s.Inode != 0 {
			inodes = append(inodes, s.Inode)
		}
	}
	if len(inodes) == 0 {
		return nil, nil
	}
	holders, err := r.host.Holders(r.ctx, host.HolderQuery{Inodes: inodes, Every: true})
	if err != nil {
		return nil, err
	}
	procs, err := r.host.Processes(r.ctx)
	if err != nil {
		return nil, err
	}
	byPID := make(map[int]host.Process, len(procs))
	for _, p := range procs {
		byPID[p.PID] = p
	}
	var keys []string
	for _, d := range r.declared {
		keys = append(keys, d.Program, d.Unit)
	}
	slices.Sort(keys)
	keys = slices.DeleteFunc(slices.Compact(keys), func(key string) bool { return key == "" })
	found := map[string]listener{}
	for _, s := range socks {
		for _, h := range holders.BySocket[s.Inode] {
			p, ok := byPID[h.PID]
			if !ok {
				continue
			}
			for _, key := range keys {
				if !serves(p.Name, key) && p.Unit != key {
					continue
				}
				l := found[key]
				if l.process.PID == 0 {
					l.process = p
				}
				if !slices.Contains(l.sockets, s) {
					l.sockets = append(l.sockets, s)
				}
				found[key] = l
			}
		}
	}
	return found, nil
}

func serves(name, program string) bool {
	return program != "systemd" && checks.Serves(host.Process{Name: name}, program)
}
