package replay

import (
	"context"
	"errors"
	"io/fs"

	"github.com/portwhy/portwhy/platform/host"
)

// The kinds of errors that a recording keeps apart.
const (
	kindUnsupported = "unsupported"
	kindPermission  = "permission"
	kindNotFound    = "not-found"
	kindNotRecorded = "not-recorded"
	kindContext     = "context"
	kindOther       = "other"
)

func kindOf(err error) string {
	switch {
	case errors.Is(err, host.ErrUnsupported):
		return kindUnsupported
	case errors.Is(err, fs.ErrPermission):
		return kindPermission
	case errors.Is(err, host.ErrNotFound):
		return kindNotFound
	case errors.Is(err, host.ErrNotRecorded):
		return kindNotRecorded
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return kindContext
	}
	return kindOther
}

// recordedError is an error of the host that was recorded.
type recordedError struct {
	text string
	kind error
}

func (e *recordedError) Error() string { return e.text }
func (e *recordedError) Unwrap() error { return e.kind }

func errorOf(a answer) error {
	if a.Error == "" {
		return nil
	}
	e := &recordedError{text: a.Error}
	switch a.Kind {
	case kindUnsupported:
		e.kind = host.ErrUnsupported
	case kindPermission:
		e.kind = fs.ErrPermission
	case kindNotFound:
		e.kind = host.ErrNotFound
	}
	return e
}
