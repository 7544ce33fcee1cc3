package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/agent/fix"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// hands are what fixes change this host with.
func (s *session) hands() fix.Hands {
	return fix.Hands{Run: fix.Run, Meant: s.meant, Guard: func(id string) error { return startGuard(s.fixes, id) },
		Print: func(ctx context.Context, commands [][]string) (string, error) {
			h, err := s.live()
			if err != nil {
				return "", err
			}
			return fingerprint(ctx, h, commands)
		}}
}

// meant refuses a signal to a process that is younger than the fix.
func (s *session) meant(ctx context.Context, argv []string, made time.Time) error {
	if argv[0] != "kill" {
		return nil
	}
	h, err := s.live()
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(argv[len(argv)-1])
	if err != nil {
		return fmt.Errorf("which process %q is about: %w", argv, err)
	}
	switch p, err := h.Process(ctx, pid); {
	case err != nil:
		return fmt.Errorf("process %d is gone: %w", pid, err)
	case p.Started.After(made):
		return fmt.Errorf("process %d is another one now: %s, started %s", pid, p.Name, p.Started.Format(time.DateTime))
	}
	return nil
}

// planned is the host's fingerprint for a fix, if the rules are still those that
// were diagnosed.
func (s *session) planned(ctx context.Context, hands fix.Hands, before string, f diagnose.Fix) (string, error) {
	now, err := hands.Print(ctx, nil)
	if err != nil {
		return "", err
	}
	if now != before {
		return "", fix.ErrChanged
	}
	return hands.Print(ctx, f.Commands)
}

// fingerprint is the same where the firewall is the same and so is what the
// commands change beside it, as far as that is watched: settings, processes,
// units, links.
func fingerprint(ctx context.Context, h host.Host, commands [][]string) (string, error) {
	fw, err := h.Firewall(ctx)
	if err != nil {
		return "", err
	}
	if len(fw.Limits) > 0 {
		l := fw.Limits[0]
		return "", fmt.Errorf("%s can't be read: %s; this needs %s", l.What, l.Why, l.Needs)
	}
	if fw, err = host.WithIPSets(ctx, h, fw); err != nil {
		return "", err
	}
	sum, err := firewall.Fingerprint(fw.Rules)
	if err != nil {
		return "", err
	}
	for _, argv := range commands {
		if seen := watched(ctx, h, argv); seen != "" {
			both := sha256.Sum256([]byte(sum + seen))
			sum = hex.EncodeToString(both[:])
		}
	}
	return sum, nil
}

// watched is the state of what a command changes beside the rules; empty if that
// isn't watched. What is gone, a process after a restart of the host, is in a state
// as well: what was left half done can still be taken back.
func watched(ctx context.Context, h host.Host, argv []string) string {
	if len(argv) < 3 {
		return ""
	}
	last := argv[len(argv)-1]
	state := func(err error, format string, args ...any) string {
		if err != nil {
			return last + " is gone"
		}
		return fmt.Sprintf(format, args...)
	}
	switch argv[0] + " " + argv[1] {
	case "sysctl -w":
		key, _, _ := strings.Cut(last, "=")
		s, err := h.Sysctl(ctx, key)
		return state(err, "%s=%s", key, strings.TrimSpace(s.Value))
	case "kill -CONT", "kill -STOP":
		pid, err := strconv.Atoi(last)
		if err != nil {
			return ""
		}
		p, err := h.Process(ctx, pid)
		return state(err, "%d of %d stopped: %v", pid, p.StartTicks, p.State == "T")
	case "systemctl start", "systemctl stop":
		u, err := h.Unit(ctx, last)
		return state(err, "%s runs: %v", last, slices.Contains([]string{"active", "activating", "reloading"}, u.ActiveState))
	case "ip link":
		links, err := h.Links(ctx)
		for _, l := range links {
			if slices.Contains(argv[2:], l.Name) {
				return state(err, "%s up: %v", l.Name, l.Up)
			}
		}
		return "gone"
	}
	return ""
}
