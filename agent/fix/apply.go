package fix

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Hands are what a fix needs of the host.
type Hands struct {
	// Run runs a command by its words, without a shell.
	Run func(ctx context.Context, argv []string) error
	// Print is a fingerprint of what fixes change: equal where the host is equal.
	Print func(ctx context.Context) (string, error)
	// Verify diagnoses anew and says how it ends; good is whether it works.
	Verify func(ctx context.Context) (outcome string, good bool, err error)
	// Guard starts a process of its own that rolls back at the deadline.
	Guard func(id string) error
}

var (
	// ErrChanged means that the host is not as it was when the fix was made.
	ErrChanged = errors.New("the host has changed since it was diagnosed")
	// ErrRolledBack means that the fix didn't do what was predicted, and that the
	// host is as before.
	ErrRolledBack = errors.New("rolled back, the host is as before")
	// ErrStuck means that the host could not be brought back.
	ErrStuck = errors.New("the host is NOT as before")
)

// margin is how long the commands and the new diagnosis may take.
const margin = 60 * time.Second

// Apply carries out a fix that is not in the journal yet. planned is the host's
// fingerprint when the fix was made. With confirm, the fix is left Unconfirmed,
// to be rolled back after that time; else it is Done. The caller holds the lock.
func (j *Journal) Apply(ctx context.Context, e *Entry, planned string, confirm time.Duration, hands Hands) error {
	now, err := hands.Print(ctx)
	if err != nil {
		return err
	}
	if now != planned {
		return ErrChanged
	}
	e.State, e.Deadline = Applying, time.Now().Add(margin).UTC()
	e.note("begun")
	if err := j.Save(e); err != nil {
		return err
	}
	if err := hands.Guard(e.ID); err != nil {
		return j.back(ctx, e, hands, fmt.Errorf("start the process that would roll back: %w", err))
	}
	for _, argv := range e.Commands {
		// What is begun is on the disk before it begins.
		e.Prints = append(e.Prints, now)
		e.note("run %q", argv)
		if err := j.Save(e); err != nil {
			return j.back(ctx, e, hands, err)
		}
		if err := hands.Run(ctx, argv); err != nil {
			return j.back(ctx, e, hands, err)
		}
		if now, err = hands.Print(ctx); err != nil {
			return j.back(ctx, e, hands, err)
		}
	}
	outcome, good, err := hands.Verify(ctx)
	if err != nil {
		return j.back(ctx, e, hands, fmt.Errorf("diagnose anew: %w", err))
	}
	if !good && outcome != e.Predicted {
		return j.back(ctx, e, hands, fmt.Errorf("it ends in %s, not in %s as predicted", outcome, e.Predicted))
	}
	e.note("verified: %s", outcome)
	e.State = Done
	if confirm > 0 {
		e.State, e.Deadline = Unconfirmed, time.Now().Add(confirm).UTC()
	}
	if err := j.Save(e); err != nil {
		return j.back(ctx, e, hands, err)
	}
	return nil
}

// back rolls a fix back that failed, and says so.
func (j *Journal) back(ctx context.Context, e *Entry, hands Hands, why error) error {
	e.note("failed: %v", why)
	// Not even a caller that was told to stop leaves the host half changed.
	if err := j.RollBack(context.WithoutCancel(ctx), e, hands); err != nil {
		return fmt.Errorf("%w; %w", why, err)
	}
	return fmt.Errorf("%w; %w", why, ErrRolledBack)
}

// RollBack undoes what was begun of a fix. It is right after a crash at any
// moment: a command that was begun and not carried out is not undone. The caller
// holds the lock.
func (j *Journal) RollBack(ctx context.Context, e *Entry, hands Hands) error {
	if len(e.Prints) == 0 {
		return j.end(e, Undone, "undone: nothing had been changed")
	}
	now, err := hands.Print(ctx)
	if err != nil {
		return err
	}
	for i, argv := range e.undoFrom(now) {
		e.note("undo %q", argv)
		if err := hands.Run(ctx, argv); err != nil {
			e.note("undo %d: %v", i+1, err)
		}
	}
	now, err = hands.Print(ctx)
	if err != nil {
		return err
	}
	if now != e.Prints[0] {
		if err := j.end(e, Stuck, "undone, but the host is not as before"); err != nil {
			return err
		}
		return ErrStuck
	}
	return j.end(e, Undone, "undone: the host is as before")
}

// undoFrom are the commands that undo what was done, when the host looks so.
func (e *Entry) undoFrom(now string) [][]string {
	begun := len(e.Prints)
	if now == e.Prints[0] {
		return nil
	}
	if len(e.Undo) != len(e.Commands) {
		return e.Undo
	}
	if now == e.Prints[begun-1] {
		begun-- // the last was begun and not carried out
	}
	return e.Undo[len(e.Undo)-begun:] // the last command's undo comes first
}

func (j *Journal) end(e *Entry, s State, what string) error {
	e.State = s
	e.note("%s", what)
	return j.Save(e)
}

// Undo takes back a fix that was Done. If others have changed the host since, it
// is not as before the fix afterwards, and that is no error.
func (j *Journal) Undo(ctx context.Context, e *Entry, hands Hands) error {
	if e.State != Done && e.State != Unconfirmed && e.State != Stuck {
		return fmt.Errorf("fix %s is %s", e.ID, e.State)
	}
	for _, argv := range e.Undo {
		e.note("undo %q", argv)
		if err := hands.Run(ctx, argv); err != nil {
			if saved := j.end(e, Stuck, err.Error()); saved != nil {
				return saved
			}
			return err
		}
	}
	return j.end(e, Undone, "undone")
}

// Confirm keeps a fix that waits for it.
func (j *Journal) Confirm(e *Entry) error {
	if e.State != Unconfirmed {
		return fmt.Errorf("fix %s is %s: nothing waits to be confirmed", e.ID, e.State)
	}
	if time.Now().After(e.Deadline) {
		return fmt.Errorf("fix %s was to be confirmed until %s", e.ID, e.Deadline.Format(time.TimeOnly))
	}
	return j.end(e, Done, "confirmed")
}

// Recover rolls back what nobody has finished: a portwhy and its guard were
// killed, or the host was restarted. The caller holds the lock.
func (j *Journal) Recover(ctx context.Context, hands Hands) (recovered []*Entry, err error) {
	list, err := j.List()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range list {
		if e.State == Applying || e.State == Unconfirmed && time.Now().After(e.Deadline) {
			errs = append(errs, j.RollBack(ctx, e, hands))
			recovered = append(recovered, e)
		}
	}
	return recovered, errors.Join(errs...)
}
