package cli

import (
	"errors"
	"io/fs"
	"os"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
)

// open returns the host that is asked: a recording, or this one, whose answers
// are remembered so that each fact is read once.
func (s *session) open() (host.Host, error) {
	if s.snapshot != "" {
		h, _, err := s.openSnapshot(s.snapshot)
		return h, err
	}
	h, err := s.live()
	if err != nil {
		return nil, err
	}
	return replay.Record(h), nil
}

// live opens this host.
func (s *session) live() (host.Host, error) {
	h, err := s.Open(s.netns)
	switch {
	case errors.Is(err, host.ErrNoNamespace), s.netns != "" && errors.Is(err, host.ErrUnsupported):
		return nil, usage("--netns: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, undetermined("--netns: %w; this needs root or CAP_SYS_ADMIN", err)
	case err != nil:
		return nil, undetermined("%w", err)
	}
	if s.netns == "" {
		s.tellLeft()
	}
	s.log.Debug().Bool("recording", false).Msg("looking at this host")
	return h, nil
}

var (
	errNotPlain = errors.New("is not a plain file")
	errTooLarge = errors.New("is too large")
)

// openPlain opens a regular file for reading. A FIFO is not waited for, and a
// device or directory is refused.
func openPlain(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, reason(err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errNotPlain
	}
	if err != nil {
		f.Close()
		return nil, reason(err)
	}
	return f, nil
}

// reason leaves out operation and path, which the message has already.
func reason(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
