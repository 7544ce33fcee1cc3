//go:build linux

package linux

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	journalLast    = 5
	journalBytes   = 64 << 10
	journalTimeout = 500 * time.Millisecond
)

// journalLines returns a unit's last lines in the journal, or nothing if they
// can't be read. The journal's files have no interface but journalctl(1) and its
// library; it is run by its absolute path, without a shell.
func journalLines(ctx context.Context, unit string) []string {
	path := ""
	for _, candidate := range []string{"/usr/bin/journalctl", "/bin/journalctl"} {
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
			path = candidate
			break
		}
	}
	if path == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	out := &boundedBuffer{max: journalBytes}
	// #nosec G204: the path is fixed, the unit's name was checked and follows its option.
	cmd := exec.CommandContext(ctx, path, "--unit="+unit, "--lines="+strconv.Itoa(journalLast), "--output=cat", "--no-pager", "--quiet")
	cmd.Stdout = out
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	cmd.WaitDelay = journalTimeout
	if err := cmd.Run(); err != nil && out.Len() == 0 {
		return nil
	}
	var lines []string
	for _, line := range bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n")) {
		if len(line) > 0 && len(lines) < journalLast {
			lines = append(lines, host.Clean(line, 500))
		}
	}
	return lines
}

// boundedBuffer keeps the first bytes and takes the rest without keeping it.
type boundedBuffer struct {
	bytes.Buffer
	max int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if room := b.max - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
