// Package compose reads compose files for the ports that their services
// publish, each with the place in the file that says so.
//
// The whole loader of compose-go would cost every run of portwhy 3 ms at its
// start, loses the lines, and reads whatever file it is told to. So this
// package takes from compose-go what interpolates variables and what reads
// .env, and merges by itself what has to do with ports: include, extends,
// override files, anchors, merge keys, !reset and !override. The tests compare
// it with the whole loader.
//
// A compose file may come from anyone. Nothing is fetched, no file outside of
// the project is read (a service's env_file never is), no variable of our own
// environment is used, and size, depth and number of everything are bounded.
package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
)

// The bounds. A project of a thousand services stays far below them.
const (
	MaxFile   = 1 << 20 // bytes of one file
	maxFiles  = 200     // loaded, each time that one is included or extended
	maxDepth  = 64      // of a file's nesting
	maxNested = 16      // includes in includes, extends of extends
	maxNodes  = 400_000 // taken over from all files, each time that an alias names them
	maxPorts  = 8192    // of all services
	maxScalar = 16 << 10
	// Interpolation takes time by the square of the length.
	maxTemplate = 2 << 10
	maxNoticed  = 64 // things that were not read
)

// Reader returns a file of the project by its path from the root: clean, with
// slashes. [ErrOutside] is for what is not below the root.
type Reader func(name string) ([]byte, error)

// ErrOutside is that a file lies outside of where files may be read from.
var ErrOutside = errors.New("it lies outside of the project's directory")

// Options say what to load.
type Options struct {
	// Files are the compose files, the later ones override the earlier ones.
	// The first one's directory is the project's.
	Files []string
	Read  Reader
	// Env are the variables that the user gave. They go before those of EnvFiles.
	Env map[string]string
	// EnvFiles are read instead of the project's .env.
	EnvFiles []string
	// Profiles that are active, besides those of COMPOSE_PROFILES in the .env.
	Profiles []string
	// Name is the project's where neither a file nor a variable says it: that of
	// its directory.
	Name string
	// Show makes a path from the root one that the user knows; nil: as it is.
	Show func(name string) string
}

// Project is what compose files declare.
type Project struct {
	Name     string
	Services []Service
	// Files that were read, in the order of their first use.
	Files []string
	// Unread are files that were not read, so that ports may be missing.
	Unread []Unread
}

// Place is a position in a file, from 1.
type Place struct {
	File         string
	Line, Column int
}

// Unread is a file that was left out: remote, or outside of the project.
type Unread struct {
	Place
	What, Why string
}

// Error is a file that compose refuses, or that is too much.
type Error struct {
	Place
	Why string
}

func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return e.File + ": " + e.Why
	case e.Column == 0:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Why)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Why)
}

// Load reads a project. An error of the files is an [*Error].
func Load(ctx context.Context, o Options) (*Project, error) {
	if len(o.Files) == 0 {
		return nil, errors.New("no compose file")
	}
	// compose-go's interpolation says through this logger what is unset; here
	// that is told with the port.
	logrus.SetOutput(io.Discard)
	if o.Show == nil {
		o.Show = func(name string) string { return name }
	}
	l := &loading{ctx: ctx, options: o, project: &Project{}}
	dir := path.Dir(o.Files[0])
	env := maps.Clone(o.Env)
	if env == nil {
		env = map[string]string{}
	}
	if err := l.environment(env, dir); err != nil {
		return nil, err
	}
	l.project.Name = l.name(env)
	env["COMPOSE_PROJECT_NAME"] = l.project.Name
	model, err := l.model(scope{dir: dir, env: env}, o.Files)
	if err != nil {
		return nil, err
	}
	if !model.has("services") && len(l.project.Unread) == 0 {
		return nil, l.fail(place{file: o.Files[0]}, "is no compose file: it has no services")
	}
	active := slices.Clone(o.Profiles)
	for _, p := range strings.Split(env["COMPOSE_PROFILES"], ",") {
		if p = strings.TrimSpace(p); p != "" {
			active = append(active, p)
		}
	}
	if err := l.services(model, active); err != nil {
		return nil, err
	}
	return l.project, nil
}

// loading is one run of [Load].
type loading struct {
	ctx     context.Context
	options Options
	project *Project
	nodes   int // taken over so far
	loads   int
	ports   int
}

// scope is what relative paths and variables mean in a file.
type scope struct {
	dir   string // of the project, or of the include's
	env   map[string]string
	depth int
	// within are the files that are being included, to find cycles.
	within []string
}

// model loads files that override each other.
func (l *loading) model(s scope, files []string) (*node, error) {
	var merged *node
	for _, name := range files {
		docs, err := l.documents(name, place{file: name}, s.env)
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			if err := l.include(s, name, doc); err != nil {
				return nil, err
			}
			if err := l.extendAll(s, name, doc); err != nil {
				return nil, err
			}
			if merged, err = l.merge(merged, doc, nil, false); err != nil {
				return nil, err
			}
		}
	}
	return merged, nil
}

// environment adds what the .env, or the files in its stead, set.
func (l *loading) environment(env map[string]string, dir string) error {
	files := l.options.EnvFiles
	if len(files) == 0 {
		data, err := l.options.Read(path.Join(dir, ".env"))
		if err != nil {
			return nil // there need not be one
		}
		return l.dotenv(env, path.Join(dir, ".env"), data)
	}
	for _, name := range files {
		data, err := l.options.Read(name)
		if err != nil {
			return &Error{Place{File: l.options.Show(name)}, reason(err)}
		}
		if err := l.dotenv(env, name, data); err != nil {
			return err
		}
	}
	return nil
}

func (l *loading) fail(at place, format string, args ...any) error {
	return &Error{l.place(at), fmt.Sprintf(format, args...)}
}

func (l *loading) place(at place) Place {
	return Place{File: l.options.Show(at.file), Line: at.line, Column: at.column}
}

func (l *loading) unread(at place, what, why string) {
	u := Unread{l.place(at), what, why}
	if len(l.project.Unread) < maxNoticed && !slices.Contains(l.project.Unread, u) {
		l.project.Unread = append(l.project.Unread, u)
	}
}

// spend counts nodes that are taken over, and ends what takes too long.
func (l *loading) spend(at place, nodes int) error {
	if l.nodes += nodes; l.nodes > maxNodes {
		return l.fail(at, "aliases, includes and extends make more than %d values of these files", maxNodes)
	}
	if err := l.ctx.Err(); err != nil {
		return fmt.Errorf("reading compose files: %w", err)
	}
	return nil
}
