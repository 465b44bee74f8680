// Command bench measures the gateway beside plain Caddy, in one run and on one
// machine. It starts real Caddy processes on loopback and sends them signed
// events of 1 KiB with IDs of their own.
//
//	go run ./bench            everything, about four minutes
//	go run ./bench -quick     a few seconds, to see that it still works
//
// Absolute figures belong to the machine; the ratios carry over. Load
// generator, gateway and backend share the machine's cores.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

// plan says how much is measured.
type plan struct {
	span    time.Duration
	conns   []int
	waiting int
	claims  int
	dir     string
	profile string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		exit(serve(os.Args[2:]))
	}
	quick := flag.Bool("quick", false, "a few seconds in all; the figures mean little")
	dir := flag.String("dir", "", "directory for stored events; default: a temporary one")
	profile := flag.String("profile", "", "write a CPU profile of the gateway under 64 connections to this file")
	only := flag.String("only", "", "run one stage: accepts, deliveries, memory, claims, look, order, pressure, refusals, schemes or space; default: all")
	conns := flag.Int("conns", 0, "measure accepts at this number of connections only")
	flag.Parse()
	p := plan{span: 5 * time.Second, conns: []int{1, 64, 256}, waiting: 100_000, claims: 1_000_000, dir: *dir, profile: *profile}
	if *quick {
		p.span, p.conns, p.waiting, p.claims = 300*time.Millisecond, []int{1, 16}, 500, 2000
	}
	if *conns > 0 {
		p.conns = []int{*conns}
	}
	exit(run(p, *only))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// stages are what is measured, in order.
var stages = []struct {
	name string
	run  func(plan) error
}{{"accepts", accepts}, {"deliveries", deliveries}, {"memory", memory}, {"claims", manyClaims}, {"look", look}, {"order", ordered}, {"pressure", pressure}, {"refusals", refusals}, {"schemes", schemes}, {"space", space}}

func run(p plan, only string) error {
	if p.dir == "" {
		dir, err := os.MkdirTemp("", "webhooks-bench")
		if err != nil {
			return fmt.Errorf("making a directory: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		p.dir = dir
	}
	say("%s, %d CPUs, GOMAXPROCS %d; %v for each figure", runtime.Version(), runtime.NumCPU(), runtime.GOMAXPROCS(0), p.span)
	known := false
	for _, stage := range stages {
		if only != "" && only != stage.name {
			continue
		}
		known = true
		if err := stage.run(p); err != nil {
			return err
		}
	}
	if !known {
		return fmt.Errorf("there is no stage %q", only)
	}
	return nil
}

func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
}
