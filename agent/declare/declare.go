// Package declare reads from files of many kinds which ports they declare:
// compose files, Kubernetes manifests, systemd units, a Procfile, a .env, and
// the configurations of servers. It recognises the kind by name and content.
//
// The files may come from anyone, such as a change that somebody proposes.
// Nothing is run or fetched, and only what lies below the file's own directory
// is read; see [tree].
package declare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose/preflight"
	"github.com/portwhy/portwhy/platform/config"
	"github.com/portwhy/portwhy/platform/host"
)

// Options say how to read.
type Options struct {
	// Kind is that of all files; empty: it is recognised.
	Kind string
	// Root is below which files may be read; empty: each file's own directory.
	Root string
	// Env, EnvFiles and Profiles are for compose files.
	Env      map[string]string
	EnvFiles []string
	Profiles []string
	// Stdin is read for the file -.
	Stdin io.Reader
}

// Result is what the files declare, and what was not looked at.
type Result struct {
	preflight.Input
	Limits []host.Limit
}

// Error is a file that can't be read, and where: Line and Column count from 1,
// 0 is unknown.
type Error struct {
	File         string
	Line, Column int
	Why          string
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

// Read reads the files; a directory stands for the compose file in it. Compose
// files beside each other are one project, the later ones override the earlier
// ones. Errors of files are of type [*Error].
func Read(ctx context.Context, paths []string, o Options) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, maxReading)
	defer cancel()
	r := &reading{options: o, ctx: ctx}
	for i := 0; i < len(paths); i++ {
		file, err := r.open(paths[i])
		if err != nil {
			return Result{}, err
		}
		if file.kind != Compose {
			if err := r.read(file); err != nil {
				return Result{}, err
			}
			continue
		}
		project := []source{file}
		for i+1 < len(paths) {
			next, err := r.open(paths[i+1])
			if err != nil {
				return Result{}, err
			}
			if next.kind != Compose || next.tree.dir != file.tree.dir {
				break
			}
			project = append(project, next)
			i++
		}
		if err := r.compose(project); err != nil {
			return Result{}, err
		}
	}
	return r.result, nil
}

// maxReading bounds the time for all files together.
const maxReading = 20 * time.Second

// reading is one run of [Read].
type reading struct {
	ctx     context.Context
	options Options
	result  Result
}

// source is one file that was named.
type source struct {
	tree *tree
	name string // from the tree's root
	kind string
	data []byte
}

func (s source) file() config.File { return config.File{Path: s.tree.show(s.name), Data: s.data} }

// open reads a file that was named, and finds out its kind.
func (r *reading) open(path string) (source, error) {
	if path == "-" {
		return r.stdin()
	}
	t, name, err := newTree(path, r.options.Root)
	if err != nil {
		return source{}, &Error{File: path, Why: err.Error()}
	}
	data, err := t.read(name, maxSource)
	if errors.Is(err, errDirectory) {
		if name, data, err = t.composeIn(name); err == nil {
			t, name, err = newTree(filepath.Join(path, filepath.Base(name)), r.options.Root)
		}
	}
	if err != nil {
		return source{}, &Error{File: path, Why: reason(err)}
	}
	s := source{tree: t, name: name, data: data, kind: r.options.Kind}
	if s.kind == "" {
		if s.kind = kindOf(name, data); s.kind == "" {
			return source{}, &Error{File: path, Why: "its kind is not recognised; --kind says it: " + strings.Join(Kinds(), ", ")}
		}
	}
	return s, nil
}

func (r *reading) stdin() (source, error) {
	if r.options.Stdin == nil {
		return source{}, &Error{File: "-", Why: "there is no standard input"}
	}
	data, err := io.ReadAll(io.LimitReader(r.options.Stdin, maxSource+1))
	switch {
	case err != nil:
		return source{}, &Error{File: "-", Why: err.Error()}
	case len(data) > maxSource:
		return source{}, &Error{File: "-", Why: fmt.Sprintf("is larger than %d bytes", maxSource)}
	}
	t, _, err := newTree("stdin", r.options.Root)
	if err != nil {
		return source{}, &Error{File: "-", Why: err.Error()}
	}
	t.given = map[string][]byte{"-": data}
	s := source{tree: t, name: "-", data: data, kind: r.options.Kind}
	if s.kind == "" {
		if s.kind = kindOf("-", data); s.kind == "" {
			return source{}, &Error{File: "-", Why: "its kind is not recognised; --kind says it: " + strings.Join(Kinds(), ", ")}
		}
	}
	return s, nil
}

func (r *reading) limit(l host.Limit) {
	if !slices.Contains(r.result.Limits, l) {
		r.result.Limits = append(r.result.Limits, l)
	}
}

func (r *reading) opened(s source, project string) {
	r.result.Files = append(r.result.Files, preflight.File{Path: s.tree.show(s.name), Kind: s.kind, Project: project})
}
