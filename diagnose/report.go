package diagnose

import (
	"net/netip"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// ReportSchema names the JSON form of [Report].
const ReportSchema = "portwhy.report/v1"

// Report is the answer about one target. Its JSON form is a promise: within v1
// fields are only added.
type Report struct {
	Schema     string       `json:"schema"`
	Tool       Tool         `json:"tool"`
	At         time.Time    `json:"at"`
	DurationMS float64      `json:"duration_ms"`
	Host       HostSummary  `json:"host"`
	Question   Question     `json:"question"`
	Target     TargetReport `json:"target"`
	// From is the far end whose way in is predicted, for --from.
	From      string       `json:"from,omitempty"`
	Flows     []FlowReport `json:"flows"`
	Outcome   Outcome      `json:"outcome"`
	Status    Status       `json:"status"`
	RootCause *Cause       `json:"root_cause"`
	Causes    []Cause      `json:"causes"`
	Findings  []Finding    `json:"findings"`
	Fixes     []Fix        `json:"fixes"`
	Limits    []host.Limit `json:"limits"`
	// FreePorts are offered by bind when the port asked for can't be had.
	FreePorts []uint16 `json:"free_ports,omitempty"`
	// Server is who answers or holds the port when all is well.
	Server *Culprit `json:"server,omitempty"`
}

// Tool says what made the report.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// ToolOf is portwhy of a version, as the head of every document names it.
func ToolOf(version string) Tool { return Tool{"portwhy", version} }

// HostSummary says where.
type HostSummary struct {
	OS         string `json:"os"`
	Kernel     string `json:"kernel"`
	Hostname   string `json:"hostname"`
	Privileged bool   `json:"privileged"`
}

// HostOf is what the head of a document tells of a host.
func HostOf(i host.Info) HostSummary {
	return HostSummary{i.OS, i.Kernel, i.Hostname, i.Privileged}
}

// TargetReport is what was asked and what it resolved to.
type TargetReport struct {
	Input     string       `json:"input"`
	Network   string       `json:"network"`
	Host      string       `json:"host"`
	Addresses []netip.Addr `json:"addresses"`
	Port      uint16       `json:"port"`
	Service   string       `json:"service,omitempty"`
	Path      string       `json:"path,omitempty"`
}

// FlowReport is one address of the target.
type FlowReport struct {
	Network     string `json:"network"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Port        uint16 `json:"port"`
	// Interface is the device that the packet leaves this host by, or for --from
	// the one that it comes to this host by.
	Interface string        `json:"interface"`
	Observed  *Observed     `json:"observed"` // null: not tried
	Predicted Predicted     `json:"predicted"`
	Checks    []CheckResult `json:"checks"`
	// Listener is the socket of this host that gets the connection, if there is one.
	Listener *ListenerReport `json:"listener,omitempty"`
}

// ListenerReport is a listening socket, and who holds it.
type ListenerReport struct {
	Address string `json:"address"`
	Inode   uint64 `json:"inode"`
	// Queue and Backlog are the connections that wait for accept and the most
	// that may; of a socket that has no such queue both are 0.
	Queue   uint32   `json:"queue"`
	Backlog uint32   `json:"backlog"`
	Server  *Culprit `json:"server"`
}

// Observed is what the probe saw.
type Observed struct {
	Outcome Outcome `json:"outcome"`
	Errno   string  `json:"errno"`
	AfterUS int64   `json:"after_us"`
	ICMP    *ICMP   `json:"icmp,omitempty"`
	// Accepted: yes, no or unknown: whether the listener's process took the connection.
	Accepted string `json:"accepted,omitempty"`
	// Speaks is the protocol that was recognised, Banner its first words.
	Speaks string `json:"speaks,omitempty"`
	Banner string `json:"banner,omitempty"`
	// TLS is what a handshake showed.
	TLS *Certificate `json:"tls,omitempty"`
}

// Certificate is a server's certificate, as its handshake showed it.
type Certificate struct {
	Version   string    `json:"version"` // of TLS
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Names     []string  `json:"names"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	// Problem is empty if it is good for the name: expired, not-yet-valid,
	// wrong-name, unknown-issuer or invalid.
	Problem string `json:"problem"`
}

// ICMP is an ICMP error that ended the attempt.
type ICMP struct {
	Type int    `json:"type"`
	Code int    `json:"code"`
	From string `json:"from"`
	Text string `json:"text"`
}

// Predicted is what the model says, and which check decided it.
type Predicted struct {
	Outcome Outcome `json:"outcome"`
	Check   string  `json:"check"`
}

// CheckResult is one station of a flow's way.
type CheckResult struct {
	ID         string   `json:"id"`
	Result     Result   `json:"result"`
	Detail     string   `json:"detail"`
	DurationUS int64    `json:"duration_us"`
	Trace      []string `json:"trace,omitempty"`
}

// Result of one check.
type Result string

// The results of a check.
const (
	ResultPass    Result = "pass"
	ResultRewrite Result = "rewrite"
	ResultStop    Result = "stop"
	ResultSkip    Result = "skip"
	ResultUnknown Result = "unknown"
)

// Cause is something that stops the flow.
type Cause struct {
	Code       string     `json:"code"`
	Title      string     `json:"title"`
	Confidence Confidence `json:"confidence"`
	// Because says why the confidence is what it is.
	Because string `json:"because"`
	// Explains: it alone accounts for what was observed.
	Explains bool       `json:"explains"`
	Culprit  *Culprit   `json:"culprit"`
	Evidence []Evidence `json:"evidence"`
	// Destinations of the flows that it stops.
	Destinations []string `json:"destinations,omitempty"`

	// Outcome is what it makes of an attempt. After: the connection stands and
	// what follows fails; Outcome is then Connected or Reset.
	Outcome Outcome `json:"outcome"`
	After   bool    `json:"after_connect,omitempty"`
	// Unaccepted: the process does not take the connection, so that one which
	// was taken disproves it.
	Unaccepted bool `json:"-"`
	// Also are other outcomes that it can show as.
	Also []Outcome `json:"-"`
	// Doubt is why the facts alone don't prove it; Ceiling is then the most
	// that agreement with the observation makes of it.
	Doubt   string     `json:"-"`
	Ceiling Confidence `json:"-"`

	// Counter is one of the kernel's that rises when this stops a packet. If it
	// rose during the attempt, that settles any doubt.
	Counter string `json:"-"`
	// Asked: the kernel itself gave this answer to the question (RTM_GETROUTE),
	// so that it holds without an attempt.
	Asked bool `json:"-"`
	// Sometimes: it does not show at every attempt, so one that succeeded
	// does not disprove it.
	Sometimes bool `json:"-"`

	Fixes []Fix `json:"-"`

	order  int // position of its check on the way
	place  int // among the flow's causes
	flow   int
	behind bool // the firewall lies before it
	seen   bool // found by the Explain phase: no prediction
	check  string
}

// Finding is worth knowing and blocks nothing.
type Finding struct {
	Code     string     `json:"code"`
	Severity Severity   `json:"severity"`
	Title    string     `json:"title"`
	Culprit  *Culprit   `json:"culprit,omitempty"`
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Severity of a finding.
type Severity string

// A warning makes the status warning; a note does not.
const (
	SeverityWarning Severity = "warning"
	SeverityNote    Severity = "note"
)

// Evidence is one fact: where it was read, what it is, its value.
type Evidence struct {
	Source string `json:"source"`
	What   string `json:"what"`
	Value  string `json:"value"`
}

// Culprit is who or what did it. Kind says which of the other fields count.
type Culprit struct {
	Kind string `json:"kind"` // process rule policy route sysctl unit container address resolver config bpf lsm kernel remote socket link neighbour namespace

	PID       int        `json:"pid,omitempty"`
	Name      string     `json:"name,omitempty"`
	Cmdline   string     `json:"cmdline,omitempty"`
	User      string     `json:"user,omitempty"`
	Unit      string     `json:"unit,omitempty"`
	Container string     `json:"container,omitempty"`
	Started   *time.Time `json:"started,omitempty"`
	Cwd       string     `json:"cwd,omitempty"`

	Address string `json:"address,omitempty"`
	Device  string `json:"device,omitempty"`
	NetNS   uint64 `json:"netns,omitempty"`

	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`

	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text,omitempty"`

	// Of a rule or policy.
	Backend string  `json:"backend,omitempty"` // nft, iptables-nft, iptables-legacy
	Family  string  `json:"family,omitempty"`
	Table   string  `json:"table,omitempty"`
	Chain   string  `json:"chain,omitempty"`
	Handle  *uint64 `json:"handle,omitempty"`
	Number  *int    `json:"number,omitempty"`
	Set     string  `json:"set,omitempty"`
	Manager string  `json:"manager,omitempty"` // ufw, firewalld, docker, …, unknown
	// Position is the rule's number in the manager's own list (ufw status numbered).
	Position int `json:"position,omitempty"`

	Program string `json:"program,omitempty"`
	ID      uint32 `json:"id,omitempty"`
	Attach  string `json:"attach,omitempty"`
}

// Fix is a way to mend a cause. Commands are argument vectors, never shell text.
type Fix struct {
	ID               string     `json:"id"`
	Cause            string     `json:"cause"`
	Title            string     `json:"title"`
	Commands         [][]string `json:"commands"`
	Undo             [][]string `json:"undo"`
	NeedsRoot        bool       `json:"needs_root"`
	Persistent       bool       `json:"persistent"`
	Opens            string     `json:"opens"`
	PredictedOutcome Outcome    `json:"predicted_outcome"`
	Check            string     `json:"check"` // simulated, none
	Risk             string     `json:"risk"`  // low, medium, high
}

// Question is what was asked of the target.
type Question string

// The questions.
const (
	AskConnect Question = "connect"
	AskBind    Question = "bind"
)
