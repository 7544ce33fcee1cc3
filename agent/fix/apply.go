package fix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Hands are what a fix needs of the host.
type Hands struct {
	// Run runs a command by its words, without a shell. It has the journal's lock
	// as long as it runs.
	Run func(ctx context.Context, argv []string, held *os.File) error
	// Meant reports, as an error, that a command would not do what it was meant to
	// when the fix was made: its process has ended, and another has the number.
	Meant func(ctx context.Context, argv []string, made time.Time) error
	// Print is a fingerprint of what the commands change: equal where the host is
	// equal.
	Print func(ctx context.Context, commands [][]string) (string, error)
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
	now, err := hands.Print(ctx, e.Commands)
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
		if err := hands.Run(ctx, argv, j.held); err != nil {
			return j.back(ctx, e, hands, err)
		}
		if now, err = hands.Print(ctx, e.Commands); err != nil {
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

// RollBack undoes what was begun of a fix, or goes on with undoing it. It is right
// after a crash at any moment: a command that was begun and not carried out is
// not undone. The caller holds the lock.
func (j *Journal) RollBack(ctx context.Context, e *Entry, hands Hands) error {
	if e.State != Undoing {
		if len(e.Prints) == 0 {
			return j.end(e, Undone, "undone: nothing had been changed")
		}
		now, err := hands.Print(ctx, e.Commands)
		if err != nil {
			return err
		}
		e.State, e.Back = Undoing, e.undoFrom(now)
	}
	return j.takeBack(ctx, e, hands)
}

// takeBack runs the rest of the commands that take a fix back.
func (j *Journal) takeBack(ctx context.Context, e *Entry, hands Hands) error {
	now, err := hands.Print(ctx, e.Commands)
	if err != nil {
		return err
	}
	if begun := len(e.BackPrints); begun > 0 && now == e.BackPrints[begun-1] {
		e.BackPrints = e.BackPrints[:begun-1] // the last was begun and not carried out
	}
	var failed error
	for len(e.BackPrints) < len(e.Back) {
		argv := e.Back[len(e.BackPrints)]
		e.BackPrints = append(e.BackPrints, now)
		e.note("undo %q", argv)
		if err := j.Save(e); err != nil {
			return err
		}
		err := hands.Meant(ctx, argv, e.At)
		if err == nil {
			err = hands.Run(ctx, argv, j.held)
		}
		if err != nil {
			e.note("it failed: %v", err)
			failed = errors.Join(failed, err)
		}
		if now, err = hands.Print(ctx, e.Commands); err != nil {
			return err
		}
	}
	switch {
	case len(e.Prints) > 0 && now == e.Prints[0]:
		return j.end(e, Undone, "undone: the host is as before")
	case e.Asked && failed == nil:
		return j.end(e, Undone, "undone; something else has changed since it was applied")
	}
	if err := j.end(e, Stuck, "undone, but the host is not as before"); err != nil {
		return err
	}
	return errors.Join(ErrStuck, failed)
}

// undoFrom are the commands that undo what was done, when the host looks so.
func (e *Entry) undoFrom(now string) [][]string {
	begun := len(e.Prints)
	last := begun - 1
	switch {
	case now == e.Prints[0] && !slices.ContainsFunc(e.Commands[:begun], blind):
		return nil
	case len(e.Undo) != len(e.Commands):
		return e.Undo
	case now == e.Prints[last] && !blind(e.Commands[last]):
		begun-- // it was begun and not carried out
	}
	return e.Undo[len(e.Undo)-begun:] // the last command's undo comes first
}

// blind reports whether what a command has done may not show in a fingerprint.
// It is undone then in any case, which does nothing where it wasn't done: settings,
// processes and elements of sets are so. Rules aren't: to delete one
// that was never added would take somebody else's, and those do show.
func blind(argv []string) bool {
	switch {
	case strings.HasPrefix(argv[0], "iptables"), strings.HasPrefix(argv[0], "ip6tables"), argv[0] == "ufw", argv[0] == "firewall-cmd":
		return false
	case argv[0] == "nft" && len(argv) > 2 && argv[2] == "rule":
		return false
	}
	return true
}

func (j *Journal) end(e *Entry, s State, what string) error {
	e.State = s
	e.note("%s", what)
	return j.Save(e)
}

// Undo takes back a fix that was Done, or goes on where one was killed that did or
// that applied it.
// If others have changed the host since, it is not as before the fix afterwards,
// and that is no error. If this process is killed, the guard goes on.
func (j *Journal) Undo(ctx context.Context, e *Entry, hands Hands) error {
	switch e.State {
	case Applying:
		return j.RollBack(ctx, e, hands)
	case Undoing:
		return j.takeBack(ctx, e, hands)
	case Done, Unconfirmed, Stuck:
	default:
		return fmt.Errorf("fix %s is %s", e.ID, e.State)
	}
	e.State, e.Asked, e.Back, e.BackPrints = Undoing, true, e.Undo, nil
	e.note("to be undone")
	if err := j.Save(e); err != nil {
		return err
	}
	if err := hands.Guard(e.ID); err != nil {
		e.note("no process watches: %v", err)
	}
	return j.takeBack(ctx, e, hands)
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
		if e.late() {
			errs = append(errs, j.RollBack(ctx, e, hands))
			recovered = append(recovered, e)
		}
	}
	return recovered, errors.Join(errs...)
}
