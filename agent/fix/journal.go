// Package fix applies fixes of a report, and takes them back: it writes down what
// it is about to do before it does it, sees whether the outcome is as predicted,
// and undoes what isn't confirmed. A process of its own holds the timer, so that
// a killed portwhy or a lost terminal ends in the old state.
package fix

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Schema names the form of an entry in the journal.
const Schema = "portwhy.fix/v1"

// State is how far a fix has come.
type State string

// The states. An entry that is Applying, Undoing or Unconfirmed past its deadline
// is taken back by whoever finds it.
const (
	Applying    State = "applying"
	Unconfirmed State = "unconfirmed" // it works, and waits to be confirmed
	Done        State = "done"
	Undoing     State = "undoing" // on the way back
	Undone      State = "undone"  // as before
	Stuck       State = "stuck"   // taken back, and the host is not as before
)

// Entry is what was done to a host: by whom, why, and how it is undone.
type Entry struct {
	Schema    string     `json:"schema"`
	ID        string     `json:"id"`
	At        time.Time  `json:"at"`
	By        string     `json:"by"`     // the user, and who became root by sudo
	Target    string     `json:"target"` // as asked
	From      string     `json:"from,omitempty"`
	Cause     string     `json:"cause"`
	Title     string     `json:"title"`
	Commands  [][]string `json:"commands"`
	Undo      [][]string `json:"undo"`
	Opens     string     `json:"opens"`
	Predicted string     `json:"predicted_outcome"`
	State     State      `json:"state"`
	Deadline  time.Time  `json:"deadline"` // when it is rolled back unless it is Done
	// Prints are fingerprints of the host, before each command that was begun.
	Prints []string `json:"prints"`
	// Back are the commands that take it back, once that has begun; BackPrints
	// are the fingerprints before each of them that was begun. Asked: somebody
	// asked for it.
	Back       [][]string `json:"back,omitempty"`
	BackPrints []string   `json:"back_prints,omitempty"`
	Asked      bool       `json:"asked,omitempty"`
	Log        []Line     `json:"log"`
}

// Line is one thing that happened.
type Line struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Open reports whether the fix may still be rolled back by itself.
func (e *Entry) Open() bool {
	return e.State == Applying || e.State == Unconfirmed || e.State == Undoing
}

func (e *Entry) note(format string, args ...any) {
	e.Log = append(e.Log, Line{time.Now().UTC(), fmt.Sprintf(format, args...)})
}

// Journal is a directory of entries that only its owner may read.
type Journal struct {
	dir  string
	held *os.File // the lock, while it is held
}

// OpenJournal makes the directory if it isn't there. One that is another's, that
// others may write to, or that is a link, is refused: its entries are commands.
func OpenJournal(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if !own(st) {
		return nil, fmt.Errorf("open the journal: %s is not a directory of its owner alone", dir)
	}
	return &Journal{dir: dir}, nil
}

// own reports whether a directory is of its owner alone, who runs this.
func own(st fs.FileInfo) bool { return st.IsDir() && st.Mode().Perm()&0o022 == 0 && ours(st) }

// NewID is an id that no entry has yet.
func (j *Journal) NewID(now time.Time) (string, error) {
	base := now.UTC().Format("20060102-150405")
	for n := range 1000 {
		id := base
		if n > 0 {
			id = fmt.Sprintf("%s-%d", base, n+1)
		}
		if _, err := os.Lstat(j.path(id)); errors.Is(err, fs.ErrNotExist) {
			return id, nil
		} else if err != nil {
			return "", fmt.Errorf("name a fix: %w", err)
		}
	}
	return "", errors.New("name a fix: too many within one second")
}

func (j *Journal) path(id string) string { return filepath.Join(j.dir, id+".json") }

// ErrNoEntry means that no fix has the id.
var ErrNoEntry = errors.New("no fix has this id")

// Load reads an entry.
func (j *Journal) Load(id string) (*Entry, error) {
	if id == "" || strings.ContainsAny(id, "/.") {
		return nil, fmt.Errorf("fix %q: %w", id, ErrNoEntry)
	}
	b, err := os.ReadFile(j.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("fix %s: %w", id, ErrNoEntry)
	}
	if err != nil {
		return nil, fmt.Errorf("read fix %s: %w", id, err)
	}
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("read fix %s: %w", id, err)
	}
	if e.Schema != Schema || e.ID != id {
		return nil, fmt.Errorf("read fix %s: it is a %q of fix %q", id, e.Schema, e.ID)
	}
	return &e, nil
}

// Save writes an entry: all of it or nothing, and on the disk when it returns.
func (j *Journal) Save(e *Entry) error {
	if err := j.save(e); err != nil {
		return fmt.Errorf("write fix %s into the journal: %w", e.ID, err)
	}
	return nil
}

func (j *Journal) save(e *Entry) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(j.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), j.path(e.ID)); err != nil {
		return err
	}
	dir, err := os.Open(j.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// List reads all entries, the oldest first.
func (j *Journal) List() ([]*Entry, error) {
	files, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("list the journal: %w", err)
	}
	var list []*Entry
	for _, f := range files {
		id, isEntry := strings.CutSuffix(f.Name(), ".json")
		if !isEntry || strings.HasPrefix(id, ".") {
			continue
		}
		e, err := j.Load(id)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *Entry) int { return a.At.Compare(b.At) })
	return list, nil
}
