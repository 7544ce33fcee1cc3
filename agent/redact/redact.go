package redact

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/portwhy/portwhy/platform/replay"
)

// Level is how much is replaced.
type Level int

// The levels. The zero value replaces the most.
const (
	All     Level = iota // secrets, addresses, and the names of hosts, users and containers
	Secrets              // passwords, keys and tokens
	None
)

// ParseLevel understands none, secrets and all.
func ParseLevel(s string) (Level, error) {
	for _, l := range []Level{All, Secrets, None} {
		if l.String() == s {
			return l, nil
		}
	}
	return All, fmt.Errorf("%q is no level of redaction: want none, secrets or all", s)
}

// String is the level's word.
func (l Level) String() string {
	switch l {
	case All:
		return "all"
	case Secrets:
		return "secrets"
	}
	return "none"
}

// KeySize is the size of a key in bytes.
const KeySize = 32

// NewKey draws the key of one report. It is to be forgotten with the report's
// making: who has it can try out names.
func NewKey() []byte {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails: crypto/rand
	return key
}

// Redactor replaces what a recording tells about its host. It is for one
// recording and is not safe for concurrent use.
type Redactor struct {
	level     Level
	key       []byte
	addresses *addresses
	names     *names
	finder    finder
	secrets   map[string]bool   // to be looked for everywhere
	tokens    map[string]string // secret to what stands for it
	matcher   *matcher
	sets      map[setID]*setPlaces
	tally     tally
}

// New makes a redactor. Without a key of KeySize bytes one is drawn.
func New(level Level, key []byte) *Redactor {
	if len(key) != KeySize {
		key = NewKey()
	}
	return &Redactor{level: level, key: key, addresses: newAddresses(key), names: newNames(key), finder: finder{known: map[string]bool{}},
		secrets: map[string]bool{}, tokens: map[string]string{}, matcher: newMatcher(nil), sets: map[setID]*setPlaces{}, tally: newTally()}
}

// Snapshot replaces what is in a recording, as [replay.Recorder] saves it. The
// targets that the recording was made for are looked through with it; Target
// then says what they are in the new one.
func (r *Redactor) Snapshot(in []byte, targets ...string) ([]byte, error) {
	if r.level == None {
		return in, nil
	}
	doc, err := replay.Parse(in)
	if err != nil {
		return nil, fmt.Errorf("redacting the snapshot: %w", err)
	}
	for _, question := range doc.Left {
		r.tally.kept("answers to questions that this version doesn't know; they are left out", question)
	}
	for _, t := range targets {
		r.seeTarget(t)
	}
	r.walk(doc, seeing)
	if r.addresses.four.full() || r.addresses.six.full() || r.addresses.link.full() {
		return nil, errors.New("redacting the snapshot: it has more ranges of addresses than can be kept what they are; addresses stay with level secrets")
	}
	r.prepare()
	r.walk(doc, changing)
	var out bytes.Buffer
	if err := doc.Save(&out); err != nil {
		return nil, fmt.Errorf("redacting the snapshot: %w", err)
	}
	if left := r.leftIn(out.Bytes()); left > 0 {
		return nil, fmt.Errorf("redacting the snapshot: %d secrets would still be in it", left)
	}
	return out.Bytes(), nil
}

// walk goes through all of a recording.
func (r *Redactor) walk(doc *replay.Document, m mode) {
	w := walker{Redactor: r, mode: m}
	for i := range doc.Items {
		w.item(&doc.Items[i])
	}
}

// Text replaces what is in a text. Call Snapshot first, so that what it found is
// found here.
func (r *Redactor) Text(s string) string {
	if r.level == None {
		return s
	}
	return r.change(text, s)
}

// Replaced is how much of one kind was replaced.
type Replaced struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"` // of different ones
	// Examples are some of what stands there now, never of what stood there.
	Examples []string `json:"examples,omitempty"`
}

// Kept is what could not be replaced, or on purpose was not.
type Kept struct {
	What  string `json:"what"`
	Count int    `json:"count"`
}

// Summary says what was replaced.
type Summary struct {
	Level    string     `json:"level"`
	Replaced []Replaced `json:"replaced"`
	Kept     []Kept     `json:"kept,omitempty"`
}

// Summary says what was replaced so far. It holds no original.
func (r *Redactor) Summary() Summary { return r.tally.summary(r.level) }

// tally counts what was replaced, by kind.
type tally struct {
	replaced map[string]map[string]string // kind, original, pseudonym
	left     map[string]map[string]bool
}

func newTally() tally {
	return tally{replaced: map[string]map[string]string{}, left: map[string]map[string]bool{}}
}

func (t tally) note(kind, old, new string) {
	if old == new {
		return
	}
	if t.replaced[kind] == nil {
		t.replaced[kind] = map[string]string{}
	}
	t.replaced[kind][old] = new
}

func (t tally) kept(what, which string) {
	if t.left[what] == nil {
		t.left[what] = map[string]bool{}
	}
	t.left[what][which] = true
}

// maxExamples bounds what a summary shows of a kind.
const maxExamples = 5

func (t tally) summary(level Level) Summary {
	s := Summary{Level: level.String(), Replaced: []Replaced{}}
	for kind, list := range t.replaced {
		examples := make([]string, 0, len(list))
		for _, pseudonym := range list {
			examples = append(examples, pseudonym)
		}
		slices.Sort(examples)
		examples = slices.Compact(examples)
		s.Replaced = append(s.Replaced, Replaced{kind, len(list), examples[:min(len(examples), maxExamples)]})
	}
	for what, which := range t.left {
		s.Kept = append(s.Kept, Kept{what, len(which)})
	}
	slices.SortFunc(s.Replaced, func(a, b Replaced) int { return cmp.Compare(a.Kind, b.Kind) })
	slices.SortFunc(s.Kept, func(a, b Kept) int { return cmp.Compare(a.What, b.What) })
	return s
}
