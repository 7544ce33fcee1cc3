package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// quiet is how long a command may take without a word.
const quiet = time.Second

// progress tells on a terminal what a command is at, if it takes long. It has
// one line, which is gone at the end.
type progress struct {
	out  io.Writer
	mu   sync.Mutex
	step string
	end  chan struct{}
	done sync.WaitGroup
	once sync.Once
}

// startProgress begins to tell; call stop before anything else is printed.
func (s *session) startProgress() *progress {
	p := &progress{out: s.Stderr, end: make(chan struct{})}
	if s.ErrTerminal == nil {
		return p
	}
	if _, tty := s.ErrTerminal(); !tty || s.Getenv("TERM") == "dumb" {
		return p
	}
	p.done.Go(p.run)
	return p
}

// tell says what comes next, in words of ours.
func (p *progress) tell(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = step
}

func (p *progress) stop() {
	p.once.Do(func() { close(p.end) })
	p.done.Wait()
}

func (p *progress) run() {
	started := time.Now()
	wait := time.NewTimer(quiet)
	defer wait.Stop()
	shown := false
	for {
		select {
		case <-p.end:
			if shown {
				fmt.Fprint(p.out, "\r\x1b[K")
			}
			return
		case <-wait.C:
		}
		p.mu.Lock()
		step := p.step
		p.mu.Unlock()
		fmt.Fprintf(p.out, "\r\x1b[K%s … %d s", step, int(time.Since(started).Seconds()))
		shown = true
		wait.Reset(quiet / 2)
	}
}
