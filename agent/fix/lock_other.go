//go:build !unix

package fix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// ErrBusy means that another portwhy is applying or undoing a fix.
var ErrBusy = errors.New("another portwhy is changing this host")

// Lock is not there: fixes are applied on Unix only.
func (j *Journal) Lock(context.Context) (unlock func(), err error) {
	return nil, fmt.Errorf("lock the journal: %w", errors.ErrUnsupported)
}

// idle is not asked: no fix is applied.
func idle(string) bool { return false }

// ours is not asked: without [Journal.Lock] no fix is applied.
func ours(fs.FileInfo) bool { return true }
