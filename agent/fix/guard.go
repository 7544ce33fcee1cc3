package fix

import (
	"context"
	"errors"
	"time"
)

// guardPoll is how often the guard looks whether it is still needed.
const guardPoll = 100 * time.Millisecond

// Guard waits until a fix is Done or Undone; past its deadline, or if the portwhy
// that applies it is gone, it rolls the fix back. It is run by a process of its own, which no terminal ends.
func (j *Journal) Guard(ctx context.Context, id string, hands Hands) error {
	for {
		e, err := j.Load(id)
		if err != nil {
			return err
		}
		if !e.Open() {
			return nil
		}
		// Who applies a fix or takes it back holds the lock: if it is free, that one died.
		if e.late() {
			if done, err := j.late(ctx, id, hands); done {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(guardPoll):
		}
	}
}

// late rolls back a fix whose deadline has passed or whose portwhy died, if that
// is still so when nobody else is at work on it.
func (j *Journal) late(ctx context.Context, id string, hands Hands) (done bool, err error) {
	now, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	unlock, err := j.Lock(now)
	if errors.Is(err, ErrBusy) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	defer unlock()
	e, err := j.Load(id)
	if err != nil {
		return true, err
	}
	switch {
	case !e.Open():
		return true, nil
	case !e.late():
		return false, nil
	}
	return true, j.RollBack(ctx, e, hands)
}
