package checks

import (
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// Between two failures a unit is active for moments: it restarts then, too.
func TestStartedAgain(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	claim := host.Claim{File: "/etc/systemd/system/web.service", Line: 2}
	for _, c := range []struct {
		unit host.Unit
		want string
	}{
		{host.Unit{Name: "web.service", ActiveState: "active", Restarts: 3, Result: "success", ActiveSince: now.Add(-time.Second)},
			"web.service should listen here (/etc/systemd/system/web.service:2), but it keeps restarting (3 times)."},
		{host.Unit{Name: "web.service", ActiveState: "active", Restarts: 3, ActiveSince: now.Add(-time.Hour)}, ""},
		{host.Unit{Name: "web.service", ActiveState: "active", ActiveSince: now}, ""},
		{host.Unit{Name: "web.service", ActiveState: "inactive", Restarts: 3, ActiveSince: now}, ""},
	} {
		got := ""
		if cause := startedAgain(c.unit, claim, now); cause != nil {
			got = cause.Title
			if cause.Code != "unit-activating" {
				t.Errorf("%+v: code %s", c.unit, cause.Code)
			}
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.unit, got, c.want)
		}
	}
}
