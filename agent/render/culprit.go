package render

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
)

// maxCommand bounds a command line in text; JSON has all that was kept of it.
const maxCommand = 120

// server names who answers, in brief: nginx (pid 812, nginx.service).
func server(c *diagnose.Culprit) string {
	if c == nil {
		return ""
	}
	var about []string
	if c.PID > 0 {
		about = append(about, fmt.Sprintf("pid %d", c.PID))
	}
	switch {
	case c.Container != "":
		about = append(about, "container "+Cut(c.Container, 24))
	case c.Unit != "":
		about = append(about, c.Unit)
	case c.User != "" && c.PID > 0:
		about = append(about, "user "+c.User)
	}
	name := c.Name
	switch {
	case name == "" && c.Kind == "socket" && c.User != "":
		name = "a process of user " + c.User
	case name == "":
		name = c.Kind
	}
	if len(about) == 0 {
		return name
	}
	return name + " (" + strings.Join(about, ", ") + ")"
}

// culprit tells of the culprit what the sentence before it has not said yet,
// and its command line.
func culprit(c *diagnose.Culprit, said string, at time.Time) (about, command string) {
	if c == nil {
		return "", ""
	}
	var parts []string
	tell := func(format, value string) {
		if value != "" && !strings.Contains(said, value) {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	if c.PID > 0 {
		tell("pid %s", fmt.Sprint(c.PID))
	}
	tell("user %s", c.User)
	tell("%s", c.Unit)
	tell("container %s", Cut(c.Container, 24))
	if c.Started != nil {
		parts = append(parts, since(*c.Started, at))
	}
	if c.Cwd != "" && c.Cwd != "/" {
		tell("in %s", c.Cwd)
	}
	tell("at %s", c.Address)
	tell("on %s", c.Device)
	if c.NetNS != 0 {
		tell("network namespace %s", fmt.Sprint(c.NetNS))
	}
	if c.Key != "" && !strings.Contains(said, c.Key+" = ") {
		parts = append(parts, c.Key+" = "+c.Value)
	}
	if c.File != "" && c.Line > 0 {
		tell("%s", fmt.Sprintf("%s:%d", c.File, c.Line))
	} else {
		tell("%s", c.File)
	}
	tell("%s", c.Text)
	tell("program %s", c.Program)
	if c.ID != 0 {
		tell("id %s", fmt.Sprint(c.ID))
	}
	tell("attached as %s", c.Attach)
	about = strings.Join(parts, ", ")
	if name := c.Name; name != "" && !strings.Contains(said, name) {
		if about == "" {
			about = name
		} else {
			about = name + " (" + about + ")"
		}
	}
	command = Cut(c.Cmdline, maxCommand)
	if path.Base(command) == c.Name || strings.Contains(said, command) {
		command = ""
	}
	return about, command
}

// culpritLine is [culprit] in one line.
func culpritLine(c *diagnose.Culprit, said string, at time.Time) string {
	about, command := culprit(c, said, at)
	if about != "" && command != "" {
		return about + ": " + command
	}
	return about + command
}

// since tells how long a process has been running when the facts were read.
func since(started, at time.Time) string {
	d := at.Sub(started)
	switch {
	case d < 0:
		return "started " + started.Format(time.DateTime)
	case d < time.Minute:
		return fmt.Sprintf("started %d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("started %d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("started %d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("started %d days ago", int(d.Hours()/24))
}
