package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWritePrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new")
	if err := writePrivate(path, []byte("one"), false); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := writePrivate(path, []byte("two"), false); !errors.Is(err, errExists) {
		t.Errorf("over an existing file: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writePrivate(path, []byte("two"), true); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "two" {
		t.Errorf("forced: %q", b)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("a replaced file has mode %v", st.Mode())
	}
	for name, refuse := range map[string]func(string) error{
		"link":     func(p string) error { return os.Symlink(path, p) },
		"dangling": func(p string) error { return os.Symlink(filepath.Join(dir, "nowhere"), p) },
		"dir":      func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		p := filepath.Join(dir, name)
		if err := refuse(p); err != nil {
			t.Fatal(err)
		}
		for _, force := range []bool{false, true} {
			if err := writePrivate(p, []byte("x"), force); err == nil {
				t.Errorf("wrote to %s, force %v", name, force)
			}
		}
	}
	if b, _ := os.ReadFile(path); string(b) != "two" {
		t.Errorf("written through a link: %q", b)
	}
	// Without hard links there is still no way over an existing file.
	if err := writeNew(path, []byte("x"), private); !errors.Is(err, fs.ErrExist) {
		t.Errorf("without links: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".portwhy") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// TestWriteWhileLinksAreSwapped lets an attacker who may write to the
// directory put a link at the path all the time.
func TestWriteWhileLinksAreSwapped(t *testing.T) {
	dir, tries := t.TempDir(), 200
	if quick, err := os.MkdirTemp("/dev/shm", "portwhy-test-"); err == nil {
		// In memory, where nothing waits for a disk.
		dir, tries = quick, 10_000
		t.Cleanup(func() { os.RemoveAll(quick) })
	}
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "out")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Symlink(victim, path)
				_ = os.Remove(path)
			}
		}
	}()
	for i := range tries {
		_ = writePrivate(path, []byte("theirs"), i%2 == 0)
		_ = os.Remove(path)
	}
	close(stop)
	<-stopped
	if b, err := os.ReadFile(victim); err != nil || string(b) != "mine" {
		t.Errorf("the victim holds %q, %v", b, err)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{"": "", "plain": "plain", `a\nb`: "a\nb", `\x00\xff`: "\x00\xff", `\\`: `\`, `\u00e9`: "é", `é`: "é", "\xff": "\xff", `\"`: ""} {
		got, err := unescape(in)
		if (err != nil) != (in == `\"`) || err == nil && string(got) != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{`\`, `\q`, `\x`, `\xg0`, `ok\`, strings.Repeat("x", maxPayload+1)} {
		if _, err := unescape(bad); err == nil {
			t.Errorf("%.20q is understood", bad)
		}
	}
}
