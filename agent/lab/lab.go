// Package lab proves portwhy's answers against real faults. A scenario is one
// file under testdata/scenarios: hosts, the commands that break something on
// them, the question, and the answer that is right. Its hosts are namespaces of
// their own (network, process, mount, name, ipc, control group), wired with veth
// pairs; whatever runs in them ends with them. testdata/scenarios/README.md
// describes the format and lists what there is.
package lab

// Scenario is one file of testdata/scenarios.
type Scenario struct {
	Group, Slug string
	// Title is the first line of the file's comment, Doc the rest of it.
	Title, Doc string
	// Needs lists what the machine must allow; see needs.go.
	Needs []string
	Hosts []Host
	Steps []Step
	// Files by host and absolute path.
	Files map[string]map[string]string
	// Recorded is the file, beside the scenario, of a host that can't be had
	// here; Steps are then questions only.
	Recorded string
}

// Host is one machine of a scenario.
type Host struct {
	Name    string
	Systemd bool     // PID 1 is systemd
	NoLo    bool     // lo stays down
	Etc     []string // what of the machine's /etc it has a copy of
}

// Step is one line of a scenario; Verb says which of the other fields count.
type Step struct {
	Line int
	Verb string // link run start wait symptom ask check
	Host string
	// Name of a started process; $NAME is its pid.
	Name    string
	Options Options
	Args    []string
	Link    *Link
	Symptom *Symptom
	Ask     *Ask
	Checks  *Checks
}

// Options of a command, written name=value before it.
type Options struct {
	UID    string // run as this user
	NetNS  string // in=NAME: in the network namespace /run/netns/NAME
	Cgroup string // cgroup=NAME: in /sys/fs/cgroup/NAME, which is made
	Env    []string
	// Seccomp is the errno that socket(2) is to give, Landlock ("tcp") denies TCP
	// bind and connect, NoFile limits descriptors.
	Seccomp, Landlock, NoFile string
}

// Link is a veth pair.
type Link struct{ A, B End }

// End is one end of a link.
type End struct {
	Host, Device string
	Addresses    []string
}

// Symptom is what an ordinary client or server sees, told by the fault tool, so
// that the fault is shown to be there whatever portwhy says.
type Symptom struct {
	Word     string // an errno's name, ok, EOF, silence, data
	FasterMS int64  // 0: no bound
	SlowerMS int64
}

// Ask is one question to portwhy with the answer that is right.
type Ask struct {
	Status     string
	Exit       int // -1: that of the status
	Outcome    string
	Code       string // of the root cause; empty: none
	Confidence string
	Culprit    map[string]string
	After      bool
	Also       []string // codes of the other causes, in order
	Findings   []Expected
	NoFindings []string
	Limits     []string
	Server     map[string]string
	Evidence   []string
	Fix        int      // this fix, by number from 1, is applied and undone; 0: none
	NoUndo     bool     // the fix has no undo
	Apply      bool     // portwhy fix --apply and undo do the same
	Partly     bool     // the fix mends its cause, and another one is left
	Unfixed    string   // why no fix is applied, where there is one
	Commands   []string // of fixes, each as a line
	Undos      []string // and of their undoing
	NoReplay   string   // why the snapshot can't give the same answer
}

// Expected is one finding.
type Expected struct {
	Code, Severity string
	Culprit        map[string]string
}
