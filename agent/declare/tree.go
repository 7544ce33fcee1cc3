package declare

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/platform/compose"
	"github.com/portwhy/portwhy/platform/config"
)

const (
	maxSource = config.MaxManifests
	maxGlob   = 256 // files that one pattern names
)

var (
	errDirectory = errors.New("is a directory")
	errNotPlain  = errors.New("is not a plain file")
)

// tree reads regular files of bounded size below one directory, by paths from
// there with slashes. What lies outside, also behind a symbolic link, is
// [compose.ErrOutside].
type tree struct {
	dir   string // absolute, without links
	shown string // as the user named it
	given map[string][]byte
}

// named begins a name among given that is not of the tree: a file that the user
// named besides.
const named = "\x00"

// newTree makes a tree for a file that the user named: its root is root, or the
// file's directory. It returns the file's path from there.
func newTree(file, root string) (*tree, string, error) {
	dir, shown := filepath.Dir(file), filepath.Dir(file)
	if root != "" {
		dir, shown = root, root
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", err
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, "", reasonOf(err)
	}
	t := &tree{dir: abs, shown: shown}
	if root == "" {
		return t, filepath.Base(file), nil
	}
	parent, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, "", err
	}
	if parent, err = filepath.EvalSymlinks(parent); err != nil {
		return nil, "", reasonOf(err)
	}
	rel, err := filepath.Rel(abs, filepath.Join(parent, filepath.Base(file)))
	if err != nil || !filepath.IsLocal(rel) {
		return nil, "", compose.ErrOutside
	}
	return t, filepath.ToSlash(rel), nil
}

// show makes a path from the root one that the user knows.
func (t *tree) show(name string) string {
	if file, ok := strings.CutPrefix(name, named); ok {
		return file
	}
	if name == "-" || path.IsAbs(name) {
		return name
	}
	return filepath.Join(t.shown, filepath.FromSlash(name))
}

// inside finds a path below the root with links followed.
func (t *tree) inside(name string) (string, error) {
	local := filepath.FromSlash(name)
	if filepath.IsAbs(local) {
		rel, err := filepath.Rel(t.dir, local)
		if err != nil {
			return "", compose.ErrOutside
		}
		local = rel
	}
	if !filepath.IsLocal(local) {
		return "", compose.ErrOutside
	}
	real, err := filepath.EvalSymlinks(filepath.Join(t.dir, local))
	if err != nil {
		return "", reasonOf(err)
	}
	rel, err := filepath.Rel(t.dir, real)
	if err != nil || !filepath.IsLocal(rel) {
		return "", compose.ErrOutside
	}
	return rel, nil
}

// read reads a file of at most max bytes.
func (t *tree) read(name string, max int) ([]byte, error) {
	if data, ok := t.given[name]; ok {
		return data, nil
	}
	rel, err := t.inside(name)
	if err != nil {
		return nil, err
	}
	// The root refuses a path that was exchanged for a link meanwhile.
	root, err := os.OpenRoot(t.dir)
	if err != nil {
		return nil, reasonOf(err)
	}
	defer root.Close()
	// A FIFO or a device is not opened: that may wait, or do something.
	st, err := root.Stat(rel)
	switch {
	case err != nil:
		return nil, reasonOf(err)
	case st.IsDir():
		return nil, errDirectory
	case !st.Mode().IsRegular():
		return nil, errNotPlain
	case st.Size() > int64(max):
		return nil, fmt.Errorf("is larger than %d bytes", max)
	}
	f, err := root.Open(rel)
	if err != nil {
		return nil, reasonOf(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if err == nil && len(data) > max {
		err = fmt.Errorf("is larger than %d bytes", max)
	}
	return data, reasonOf(err)
}

// compose is the tree's [compose.Reader].
func (t *tree) compose(name string) ([]byte, error) { return t.read(name, compose.MaxFile) }

// reasonOf leaves out operation and path, which the message has already.
func reasonOf(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func reason(err error) string { return reasonOf(err).Error() }

// composeNames are what compose looks for in a directory, in its order, and
// overrides what it reads besides.
var (
	composeNames = []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
	overrides    = []string{"compose.override.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.override.yaml"}
)

func (t *tree) composeIn(dir string) (name string, data []byte, err error) {
	for _, base := range composeNames {
		name = path.Join(dir, base)
		if data, err = t.read(name, maxSource); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return name, data, err
		}
	}
	return "", nil, fmt.Errorf("is a directory without %s", strings.Join(composeNames, ", "))
}

// overrideOf is the override file that compose reads besides a file, if the
// file is one that compose finds by itself; empty if there is none. An error is
// that of one which is there and can't be read.
func (t *tree) overrideOf(name string) (string, error) {
	if !slices.Contains(composeNames, path.Base(name)) {
		return "", nil
	}
	for _, base := range overrides {
		over := path.Join(path.Dir(name), base)
		if _, err := t.read(over, compose.MaxFile); !errors.Is(err, fs.ErrNotExist) {
			return over, err
		}
	}
	return "", nil
}

// glob is a [config.Reader] that notes what it may not read.
func (t *tree) glob(outside func(pattern string)) config.Reader {
	return func(pattern string) []config.File {
		local, err := filepath.Rel(t.dir, filepath.FromSlash(pattern))
		if err != nil || !filepath.IsLocal(local) {
			outside(pattern)
			return nil
		}
		names := []string{local}
		if strings.ContainsAny(pattern, `*?[\`) {
			if names, err = filepath.Glob(filepath.Join(t.dir, local)); err != nil {
				return nil
			}
		}
		var files []config.File
		for _, name := range names[:min(len(names), maxGlob)] {
			if filepath.IsAbs(name) {
				if name, err = filepath.Rel(t.dir, name); err != nil {
					continue
				}
			}
			name = filepath.ToSlash(name)
			data, err := t.read(name, compose.MaxFile)
			if errors.Is(err, compose.ErrOutside) {
				outside(t.show(name))
			}
			if err == nil {
				files = append(files, config.File{Path: filepath.ToSlash(filepath.Join(t.dir, name)), Data: data})
			}
		}
		return files
	}
}
