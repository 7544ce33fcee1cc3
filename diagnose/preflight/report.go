package preflight

import (
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform/host"
)

// Schema names the JSON form of [Report].
const Schema = "portwhy.preflight/v1"

// Report is what will clash. Its JSON form is a promise: within v1 fields are
// only added.
type Report struct {
	Schema     string               `json:"schema"`
	Tool       diagnose.Tool        `json:"tool"`
	At         time.Time            `json:"at"`
	DurationMS float64              `json:"duration_ms"`
	Host       diagnose.HostSummary `json:"host"`
	Status     diagnose.Status      `json:"status"`
	Files      []File               `json:"files"`
	// Ports are all that are declared, whether or not they clash.
	Ports    []Port         `json:"ports"`
	Findings []plan.Finding `json:"findings"`
	Limits   []host.Limit   `json:"limits"`
}

// File is one that was read.
type File struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	Project string `json:"project,omitempty"`
}

// Port is one declared port, or a range.
type Port struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Kind    string `json:"kind"`
	Project string `json:"project,omitempty"`
	Service string `json:"service"`
	Network string `json:"network"`
	// Address is as the file has it; empty: every one.
	Address string `json:"address"`
	First   uint16 `json:"first"`
	Last    uint16 `json:"last"`
	// Any: one port of the range is enough.
	Any    bool   `json:"any,omitempty"`
	Target uint16 `json:"target,omitempty"`
	Text   string `json:"text"`
	Doubt  string `json:"doubt,omitempty"`
	Result Result `json:"result"`
}

// Result is what becomes of a declared port.
type Result string

// The results. Own: who declares it has it already. Unasked: no socket would
// have it, so that nothing was asked.
const (
	Free      Result = "free"
	Own       Result = "own"
	Clashes   Result = "clash"
	Undecided Result = "unknown"
	Unasked   Result = "not-asked"
)

func portOf(d Declared, r Result) Port {
	p := Port{File: d.File, Line: d.Line, Column: d.Column, Kind: d.Kind, Project: d.Project, Service: d.Who(), Network: d.Network, Address: d.Named,
		First: d.Ports.First, Last: d.Ports.Last, Any: d.Any, Target: d.Target, Text: d.Text, Doubt: d.Doubt, Result: r}
	if d.Named == "" && d.Address.IsValid() {
		p.Address = d.Address.String()
	}
	return p
}
