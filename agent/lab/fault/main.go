//go:build linux

// Command fault makes the faults of sockets and processes that ordinary
// programs don't make on request, for the scenarios of package lab: a port that
// is bound and never listens, a listener that nobody accepts from, a BPF program
// that drops. Each subcommand prints READY when its fault stands and keeps it
// until it is killed; connect and bind try once and print what came of it; host
// is the first process of a lab host; exec changes itself and becomes another
// program.
package main

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type command struct {
	name string
	args string
	run  func(fs *flag.FlagSet, args []string) error
}

var commands = []command{
	{"host", "DIR: be PID 1 of a lab host", runHost},
	{"cell", "[-new FLAGS] -- CMD…: clone CMD into new namespaces and die with it", runCell},
	{"exec", "[flags] -- CMD…: change credentials, limits, filters; become CMD", runExec},
	{"listen", "[flags] ADDR:PORT|PATH: a listener or UDP socket", runListen},
	{"bound", "[flags] ADDR:PORT: bind and never listen", runBound},
	{"client", "-from ADDR:PORT -to ADDR:PORT [-n N]: connections that stay", runClient},
	{"self-connect", "ADDR:PORT: a socket connected to itself", runSelfConnect},
	{"time-wait", "ADDR:PORT: a server that closed first", runTimeWait},
	{"close-wait", "ADDR:PORT: a connection whose far end is gone, without listener", runCloseWait},
	{"leak", "ADDR:PORT -- CMD…: a listener that only the child CMD holds", runLeak},
	{"stale", "PATH: a unix socket's file without its socket", runStale},
	{"trace", "PID: stop a process as a debugger does", runTrace},
	{"conntrack-fill", ": fill the table of connection tracking with assured entries", runConntrackFill},
	{"bpf", "-attach HOOK [-dev D] [-cgroup PATH] [-port P]: a BPF program that denies", runBPF},
	{"dns", "[-answer NAME=ADDR]… ADDR:PORT: a name server", runDNS},
	{"connect", "[flags] ADDR:PORT|PATH: try once, print errno and time", runConnect},
	{"bind", "[flags] ADDR:PORT|PATH: try once, print errno", runBind},
}

func main() {
	if len(os.Args) > 1 {
		for _, c := range commands {
			if c.name != os.Args[1] {
				continue
			}
			if err := c.run(flag.NewFlagSet("fault "+c.name, flag.ExitOnError), os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "fault %s: %v\n", c.name, err)
				os.Exit(1)
			}
			return
		}
	}
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "fault %s %s\n", c.name, c.args)
	}
	os.Exit(64)
}

// ready says that the fault stands, and never returns.
func ready() error {
	if _, err := fmt.Println("READY"); err != nil {
		return err
	}
	for {
		if err := unix.Pause(); err != unix.EINTR {
			return err
		}
	}
}
