//go:build linux

// Command bench measures portwhy beside the tools that answer the same
// questions, on a host with many processes and sockets that it builds itself:
// in network and pid namespaces of its own, so that it always measures the same
// host, and nothing outlives it. Each command is run in turns with the one it is
// compared with, so that a busy machine slows both; what counts is the ratio.
//
//	make bench
//
// It needs root. The exit status is 1 if a goal is not met.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"
)

type options struct {
	portwhy string
	large   size
	pairs   int
	inside  bool
	only    string
	child   bool
}

func main() {
	var o options
	flag.StringVar(&o.portwhy, "portwhy", "bin/portwhy", "the program to measure")
	flag.IntVar(&o.large.processes, "processes", 2000, "processes of the large host that listen")
	flag.IntVar(&o.large.listeners, "listeners", 10, "TCP listeners of each of them")
	flag.IntVar(&o.large.files, "files", 10, "other descriptors of each of them")
	flag.IntVar(&o.large.connections, "connections", 25000, "connections of further processes, 1,000 of each")
	flag.IntVar(&o.pairs, "pairs", 7, "runs of each pair")
	flag.BoolVar(&o.inside, "inside", false, "measure the adapter within this process instead")
	flag.StringVar(&o.only, "only", "", "measure only this: host, firewall or checks")
	flag.BoolVar(&o.child, "child", false, "be a child that this program starts")
	flag.Parse()
	met, err := false, error(nil)
	if o.child {
		met, err = true, child(context.Background(), flag.Args())
	} else if isolated() {
		// Namespaces belong to threads: all is done on the first one.
		runtime.LockOSThread()
		met, err = run(context.Background(), o)
	} else {
		met, err = isolate()
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case !met:
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (met bool, err error) {
	if o.large.processes < 2 || o.large.listeners < 1 || o.large.files < 3 || o.large.connections < 0 || o.pairs < 1 {
		return false, errors.New("too few processes, listeners, files, connections or pairs")
	}
	if !o.inside {
		if o.portwhy, err = installed(o.portwhy); err != nil {
			return false, fmt.Errorf("the program to measure (make build): %w", err)
		}
		defer os.Remove(o.portwhy)
	}
	if err := furnish(); err != nil {
		return false, err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer out.Flush()
	met = true
	if !o.inside && (o.only == "" || o.only == "checks") {
		if met, err = runChecks(out, o); err != nil || o.only != "" {
			return met, err
		}
	}
	if !o.inside && o.only != "host" {
		ok, err := runFirewall(out, o)
		if met = met && ok; err != nil || o.only != "" {
			return met, err
		}
	}
	ok := true
	if !o.inside {
		if ok, err = runSmall(out, o); err != nil {
			return false, err
		}
		met = met && ok
	}
	s, err := buildScene(o.large)
	defer s.end()
	if err != nil {
		return false, err
	}
	fmt.Fprintf(out, "\nlarge host: %d processes, each with %d listeners and %d other descriptors; %d connections (both ends) of others\n",
		o.large.processes, o.large.listeners, o.large.files, o.large.connections)
	if o.inside {
		return met, inside(ctx, out, s)
	}
	ok, err = large(out, o, s)
	return met && ok, err
}

// smallHost is how many processes an idle server runs.
const smallHost = 90

func runSmall(out io.Writer, o options) (met bool, err error) {
	s, err := buildScene(size{processes: smallHost, listeners: 1, files: 10})
	defer s.end()
	if err != nil {
		return false, err
	}
	fmt.Fprintf(out, "small host: %d processes, each with a listener and 10 other descriptors\n", smallHost)
	return small(out, o, s)
}
