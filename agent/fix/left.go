package fix

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// lookedAt bounds the entries that [Left] reads. No fix is applied while one is
	// left half done, so that one is among the newest, unless an old one was to be undone.
	lookedAt = 8
	// maxEntry bounds an entry that it reads.
	maxEntry = 1 << 20
)

// Left is a fix in the journal at dir that was left half done, since its portwhy and
// its guard were killed or the host was restarted; nil: there is none, or it is not for
// this user to see. Nothing is changed, and without a journal no file is read.
func Left(dir string) *Entry {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	if st, err := os.Lstat(dir); err != nil || !own(st) {
		return nil
	}
	seen := 0
	for _, f := range slices.Backward(files) { // the newest first: an id begins with the time
		id, isEntry := strings.CutSuffix(f.Name(), ".json")
		if !isEntry || strings.HasPrefix(id, ".") || !f.Type().IsRegular() {
			continue
		}
		if seen++; seen > lookedAt {
			return nil
		}
		e := glance(filepath.Join(dir, f.Name()))
		if e != nil && e.ID == id && e.late() && idle(dir) {
			return e
		}
	}
	return nil
}

// glance reads an entry; nil if it is none.
func glance(path string) *Entry {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEntry))
	var e Entry
	if err != nil || json.Unmarshal(b, &e) != nil || e.Schema != Schema {
		return nil
	}
	return &e
}

// late reports whether the fix is to be taken back, if nobody is at work on it.
func (e *Entry) late() bool {
	return e.Open() && (e.State != Unconfirmed || time.Now().After(e.Deadline))
}
