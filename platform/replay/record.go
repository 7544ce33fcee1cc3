// Package replay remembers what a host answered and answers from that memory.
//
// A [Recorder] stands before any host: each question is put to it once, so
// that every check of a diagnosis sees the same facts, and all answers can be
// saved. [Open] makes a host of a saved recording. A question that the
// recording never saw is [host.ErrNotRecorded], never an empty answer; a
// narrower question than one that was recorded (one port of a full socket
// dump, the route to one address of full routing tables) is answered from the
// wider one.
package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// Schema names the form of a recording.
const Schema = "portwhy.snapshot/v1"

// recording is a saved host.
type recording struct {
	Schema  string    `json:"schema"`
	Tool    string    `json:"tool"`
	At      time.Time `json:"at"`
	Answers []answer  `json:"answers"`
}

// answer is one question with its answer or error.
type answer struct {
	// View is the inode of the network namespace that was looked from.
	View     uint64          `json:"view"`
	Question string          `json:"question"`
	Args     json.RawMessage `json:"args"`
	Answer   json.RawMessage `json:"answer,omitempty"`
	Error    string          `json:"error,omitempty"`
	Kind     string          `json:"kind,omitempty"` // of the error: see errorKinds
}

// key identifies a question. Args is its canonical JSON.
type key struct {
	view           uint64
	question, args string
}

// memory is shared by a recorder and the views entered from it.
type memory struct {
	mu      sync.Mutex
	entries map[key]*entry
	order   []key
}

type entry struct {
	once  sync.Once
	value any
	err   error
}

// Recorder is a host that asks another one, once for each question.
type Recorder struct {
	live   host.Host
	view   uint64
	memory *memory
}

var _ host.Host = (*Recorder)(nil)

// Record starts to remember what h answers. The view is h's own.
func Record(h host.Host) *Recorder {
	return &Recorder{live: h, memory: &memory{entries: map[key]*entry{}}}
}

// ask puts a question to the live host unless it was put before. A context
// that ended is no answer, so it is not remembered.
func ask[T any](ctx context.Context, r *Recorder, question string, args any, live func() (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, fmt.Errorf("asking for %s: %w", question, err)
	}
	k := key{r.view, question, canonical(args)}
	r.memory.mu.Lock()
	e := r.memory.entries[k]
	if e == nil {
		e = &entry{}
		r.memory.entries[k] = e
		r.memory.order = append(r.memory.order, k)
	}
	r.memory.mu.Unlock()
	e.once.Do(func() { e.value, e.err = live() })
	value, _ := e.value.(T)
	return value, e.err
}

// canonical writes arguments so that equal questions are equal texts: no
// argument holds a map, and encoding/json writes struct fields in order. How
// long an attempt might have lasted is no part of the question.
func canonical(args any) string {
	switch q := args.(type) {
	case nil:
		return "null"
	case host.ConnectQuery:
		q.Timeout, q.Watch, q.Impatient = 0, false, false
		args = q
	}
	if s, ok := args.(string); ok && plain(s) {
		return `"` + s + `"`
	}
	b, err := json.Marshal(args)
	if err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(args))
	}
	return string(b)
}

func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// errAlike is the answer to connections that a recording can't tell apart.
var errAlike = errors.New("it was asked with several queries, which a recording does not keep")

// Save writes everything that was asked so far.
func (r *Recorder) Save(w io.Writer, tool string) error {
	r.memory.mu.Lock()
	order := slices.Clone(r.memory.order)
	r.memory.mu.Unlock()
	rec := recording{Schema: Schema, Tool: tool, At: time.Now().UTC()}
	connects := map[key]int{} // where the answer stands
	for _, k := range order {
		r.memory.mu.Lock()
		e := r.memory.entries[k]
		r.memory.mu.Unlock()
		e.once.Do(func() { e.err = host.ErrNotRecorded }) // another goroutine is about to ask: too late
		a := answer{View: k.view, Question: k.question, Args: json.RawMessage(k.args)}
		if e.err != nil {
			a.Error, a.Kind = e.err.Error(), kindOf(e.err)
			if a.Kind == kindContext || a.Kind == kindNotRecorded {
				continue
			}
		}
		b, err := json.Marshal(e.value)
		if err != nil {
			return fmt.Errorf("recording the answer to %s: %w", k.question, err)
		}
		a.Answer = b
		if k.question == "connect" {
			if k.args, err = normal(k.question, a.Args); err != nil {
				return fmt.Errorf("recording a connection: %w", err)
			}
			a.Args = json.RawMessage(k.args)
			if at, twice := connects[k]; twice {
				// Neither answer may be taken for the other's.
				first := &rec.Answers[at]
				first.Answer, first.Error, first.Kind = nil, errAlike.Error(), kindOther
				continue
			}
			connects[k] = len(rec.Answers)
		}
		rec.Answers = append(rec.Answers, a)
	}
	return rec.write(w)
}

func (rec recording) write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	if err := enc.Encode(rec); err != nil {
		return fmt.Errorf("writing the recording: %w", err)
	}
	return nil
}
