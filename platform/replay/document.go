package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// Document is a recording as values, to be looked through or changed, and saved
// again. What a value has no field for is not in it.
type Document struct {
	Tool  string
	At    time.Time
	Items []Item
	// Left are questions that this version doesn't know; their answers are left out.
	Left []string
}

// Item is a question with its answer.
type Item struct {
	View     uint64 // inode of the network namespace that was looked from
	Question string
	Args     any // a pointer to what was asked for, nil for a question without arguments
	Answer   any // a pointer to the answer
	Error    string

	kind string
}

// Parse reads a recording as values. A malformed one is a *FormatError.
func Parse(data []byte) (*Document, error) {
	rec, err := decode(data)
	if err != nil {
		return nil, err
	}
	d := &Document{Tool: rec.Tool, At: rec.At}
	for i, a := range rec.Answers {
		args, value, known := values(a.Question)
		if !known {
			d.Left = append(d.Left, host.Clean([]byte(a.Question), 60))
			continue
		}
		if args != nil {
			if err := json.Unmarshal(a.Args, args); err != nil {
				return nil, &FormatError{Why: fmt.Sprintf("answer %d: args: %v", i+1, err)}
			}
		}
		if len(a.Answer) > 0 {
			if err := json.Unmarshal(a.Answer, value); err != nil {
				return nil, &FormatError{Why: fmt.Sprintf("answer %d, to %s: %v", i+1, a.Question, err)}
			}
		}
		d.Items = append(d.Items, Item{View: a.View, Question: a.Question, Args: args, Answer: value, Error: a.Error, kind: a.Kind})
	}
	return d, nil
}

// Save writes the recording.
func (d *Document) Save(w io.Writer) error {
	rec := recording{Schema: Schema, Tool: d.Tool, At: d.At}
	for _, item := range d.Items {
		a := answer{View: item.View, Question: item.Question, Error: item.Error, Kind: item.kind, Args: json.RawMessage("null")}
		if item.Args != nil {
			a.Args = json.RawMessage(canonical(reflect.ValueOf(item.Args).Elem().Interface()))
		}
		b, err := json.Marshal(item.Answer)
		if err != nil {
			return fmt.Errorf("recording the answer to %s: %w", item.Question, err)
		}
		a.Answer = b
		rec.Answers = append(rec.Answers, a)
	}
	return rec.write(w)
}

// values makes a place for a question's arguments and one for its answer. They
// are of the types that [Recorder] asks with.
func values(question string) (args, answer any, known bool) {
	switch question {
	case "info":
		return nil, new(host.Info), true
	case "sysctl":
		return new(string), new(host.Sysctl), true
	case "counters":
		return nil, new(map[string]int64), true
	case "excluded-ports":
		return new(string), new([]host.PortRange), true
	case "sockets":
		return new(host.SocketQuery), new([]host.Socket), true
	case "socket-options":
		return new(descriptor), new(host.SocketOptions), true
	case "process":
		return new(int), new(host.Process), true
	case "processes":
		return nil, new([]host.Process), true
	case "holders":
		return new(host.HolderQuery), new(host.Holders), true
	case "cgroup":
		return new(string), new(host.Cgroup), true
	case "namespaces":
		return nil, new(host.NamespaceList), true
	case "enter":
		return new(uint64), new(struct{}), true
	case "connect":
		return new(host.ConnectQuery), new(host.Attempt), true
	case "bind":
		return new(host.BindQuery), new(host.BindAttempt), true
	}
	if args, answer, known = networkValues(question); known {
		return args, answer, true
	}
	return serviceValues(question)
}

func networkValues(question string) (args, answer any, known bool) {
	switch question {
	case "links":
		return nil, new([]host.Link), true
	case "addresses":
		return nil, new([]host.Address), true
	case "route-to":
		return new(host.RouteQuery), new(host.Route), true
	case "routes":
		return nil, new([]host.Route), true
	case "rules":
		return nil, new([]host.RouteRule), true
	case "neighbours":
		return nil, new([]host.Neighbour), true
	case "qdiscs":
		return nil, new([]host.Qdisc), true
	case "transforms":
		return nil, new([]host.Transform), true
	case "programs":
		return new(string), new(host.Programs), true
	case "firewall":
		return nil, new(host.Firewall), true
	case "set-element":
		return new(host.SetQuery), new(*rules.Element), true
	case "ipsets":
		return nil, new([]*rules.IPSet), true
	case "ipset-test":
		return new(host.IPSetQuery), new(bool), true
	case "tracked":
		return new(host.TrackQuery), new([]host.Tracked), true
	case "virtual-services":
		return nil, new([]host.VirtualService), true
	case "packet-queues":
		return nil, new([]uint16), true
	case "firewall-files":
		return nil, new(host.FirewallFiles), true
	}
	return nil, nil, false
}

func serviceValues(question string) (args, answer any, known bool) {
	switch question {
	case "unit":
		return new(string), new(host.Unit), true
	case "units":
		return nil, new([]host.Unit), true
	case "containers":
		return nil, new(host.Containers), true
	case "claims":
		return nil, new(host.Claims), true
	case "resolve", "resolve-dns":
		return new(string), new(host.Resolution), true
	case "resolver":
		return nil, new(host.Resolver), true
	case "user":
		return new(string), new(uint32), true
	}
	return nil, nil, false
}
