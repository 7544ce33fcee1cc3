package checks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// stopProcesses is the proper way to make a process give up its sockets: by
// what manages it, and only else by a signal.
func stopProcesses(p *diagnose.Pass, first host.Process, all []host.Process) []diagnose.Fix {
	fix := diagnose.Fix{Opens: "nothing", PredictedOutcome: diagnose.Bound, Risk: "medium", NeedsRoot: true}
	switch {
	case first.PID == 1:
		return nil // that would stop the whole host or container
	case argument(first.Unit) && strings.HasSuffix(first.Unit, ".service") && !strings.HasPrefix(first.Unit, "user@"):
		fix.Title = "stop " + first.Unit
		fix.Commands = [][]string{{"systemctl", "stop", first.Unit}}
		fix.Undo = [][]string{{"systemctl", "start", first.Unit}}
		if u, err := p.Host.Unit(p.Ctx, first.Unit); err == nil {
			for _, socket := range u.TriggeredBy {
				if strings.HasSuffix(socket, ".socket") {
					// It would start the service again at the next connection.
					fix.Commands[0], fix.Undo[0] = append(fix.Commands[0], socket), append(fix.Undo[0], socket)
				}
			}
		}
	case argument(first.UserUnit) && strings.HasSuffix(first.UserUnit, ".service"):
		fix.Title = "stop " + first.UserUnit + " of user " + first.User
		fix.NeedsRoot = first.UID != p.Info.UID
		manager := []string{"systemctl", "--user"}
		if fix.NeedsRoot {
			manager = append(manager, "--machine="+first.User+"@.host")
		}
		fix.Commands = [][]string{append(slices.Clone(manager), "stop", first.UserUnit)}
		fix.Undo = [][]string{append(slices.Clone(manager), "start", first.UserUnit)}
	default:
		kill, wake := []string{"kill"}, []string{"kill", "-CONT"}
		fix.NeedsRoot = false
		for _, proc := range parentsFirst(all) {
			kill = append(kill, strconv.Itoa(proc.PID))
			if proc.State == "T" {
				wake = append(wake, strconv.Itoa(proc.PID))
			}
			fix.NeedsRoot = fix.NeedsRoot || proc.UID != p.Info.UID
		}
		fix.Title = fmt.Sprintf("end %s (pid %d)", first.Name, first.PID)
		if len(all) > 1 {
			fix.Title = fmt.Sprintf("end the %d processes that have it", len(all))
		}
		fix.Commands = [][]string{kill}
		if len(wake) > 2 {
			// What is stopped takes the signal to end only when it goes on.
			fix.Commands = append(fix.Commands, wake)
		}
	}
	return []diagnose.Fix{fix}
}

// parentsFirst puts each process behind its parent if that is one of them: one that
// is told to end first doesn't start a child anew that has ended.
func parentsFirst(all []host.Process) []host.Process {
	parents := make(map[int]int, len(all))
	for _, proc := range all {
		parents[proc.PID] = proc.PPID
	}
	above := func(proc host.Process) (n int) {
		for pid, found := proc.PPID, true; n < len(all); n++ {
			if pid, found = parents[pid]; !found {
				break
			}
		}
		return n
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b host.Process) int { return above(a) - above(b) })
}

// stopContainer stops a container by its engine, by compose if that made it.
func stopContainer(c host.Container) diagnose.Fix {
	fix := diagnose.Fix{Title: "stop the container " + c.Name, Opens: "nothing", PredictedOutcome: diagnose.Bound, Risk: "medium", NeedsRoot: true,
		Commands: [][]string{{c.Engine, "stop", c.Name}}, Undo: [][]string{{c.Engine, "start", c.Name}}}
	if argument(c.Project) && argument(c.Service) {
		fix.Title = "stop the compose service " + c.Service
		compose := []string{c.Engine, "compose", "-p", c.Project}
		fix.Commands = [][]string{append(slices.Clone(compose), "stop", c.Service)}
		fix.Undo = [][]string{append(slices.Clone(compose), "start", c.Service)}
	}
	return fix
}

// argument reports whether a name from outside can stand in a command: not
// empty, and no option.
func argument(name string) bool { return name != "" && name[0] != '-' }
