package compose

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
)

// include loads what a document includes, below what the document says itself.
func (l *loading) include(s scope, name string, doc *node) error {
	list := doc.get("include")
	if list == nil || list.null {
		return nil
	}
	if list.kind != sequence {
		return l.fail(list.place, "include takes a list")
	}
	s.within = append(slices.Clone(s.within), name)
	for _, item := range list.list {
		imported, err := l.included(s, item)
		if err != nil {
			return err
		}
		services := imported.get("services")
		if services == nil {
			continue
		}
		if doc.of["services"] == nil || doc.of["services"].null {
			doc.set("services", &node{place: services.place, kind: mapping})
		}
		own := doc.of["services"]
		for _, service := range services.keys {
			merged, err := l.merge(services.of[service], own.of[service], []string{"services", service}, true)
			if err != nil {
				return err
			}
			own.set(service, merged)
		}
	}
	doc.drop("include")
	return nil
}

// included loads one member of include; nil where it is not read.
func (l *loading) included(s scope, item *node) (*node, error) {
	paths, err := l.texts(item, "path")
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, l.fail(item.place, "include takes a path, or keys with one")
	}
	if s.depth >= maxNested {
		return nil, l.fail(item.place, "includes nest deeper than %d", maxNested)
	}
	inner := scope{env: maps.Clone(s.env), depth: s.depth + 1, within: s.within}
	var files []string
	for i, p := range paths {
		file, ok, err := l.local(s.dir, p, "include")
		if err != nil || !ok {
			return nil, err
		}
		if i == 0 {
			inner.dir = path.Dir(file)
			if slices.Contains(s.within, file) {
				return nil, l.fail(p.place, "%s includes itself", l.options.Show(file))
			}
		}
		if _, err := l.options.Read(file); err != nil {
			return nil, l.fail(p.place, "%s: %s", l.options.Show(file), reason(err))
		}
		files = append(files, file)
	}
	if item.kind == mapping {
		if dir := item.get("project_directory"); dir != nil && dir.text != "" {
			if inner.dir = path.Clean(dir.text); !path.IsAbs(inner.dir) {
				inner.dir = path.Join(s.dir, dir.text)
			}
			if _, err := l.options.Read(path.Join(inner.dir, ".env")); errors.Is(err, ErrOutside) {
				l.unread(dir.place, cut(dir.text)+"/.env", ErrOutside.Error())
			}
		}
		envFiles, err := l.texts(item.get("env_file"), "")
		if err != nil {
			return nil, err
		}
		for _, e := range envFiles {
			if e.text == "/dev/null" {
				continue
			}
			file, ok, err := l.local(s.dir, e, "env_file")
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			data, err := l.options.Read(file)
			if err != nil {
				return nil, l.fail(e.place, "env_file %s: %s", l.options.Show(file), reason(err))
			}
			if err := l.dotenv(inner.env, file, data); err != nil {
				return nil, err
			}
		}
		if len(envFiles) > 0 {
			return l.model(inner, files)
		}
	}
	if data, err := l.options.Read(path.Join(inner.dir, ".env")); err == nil {
		if err := l.dotenv(inner.env, path.Join(inner.dir, ".env"), data); err != nil {
			return nil, err
		}
	}
	return l.model(inner, files)
}

// texts returns the words of a value that is one word, a list of them, or keys
// of which one has those.
func (l *loading) texts(n *node, key string) ([]*node, error) {
	switch {
	case n == nil || n.null:
		return nil, nil
	case n.kind == mapping && key != "":
		return l.texts(n.get(key), "")
	case n.kind == mapping:
		return nil, l.fail(n.place, "expected a path, or a list of them")
	case n.kind == scalar:
		return []*node{n}, nil
	}
	for _, item := range n.list {
		if item.kind != scalar {
			return nil, l.fail(item.place, "expected a path")
		}
	}
	return n.list, nil
}

// local makes a path from the root of one that stands in a file. What is remote
// or lies outside is noted as not read.
func (l *loading) local(dir string, n *node, role string) (file string, ok bool, err error) {
	switch {
	case n.kind != scalar || n.text == "":
		return "", false, l.fail(n.place, "%s takes a path", role)
	case remote(n.text):
		l.unread(n.place, cut(n.text), role+" is remote, and nothing is fetched")
		return "", false, nil
	}
	file = n.text
	if !path.IsAbs(file) {
		file = path.Join(dir, file)
	}
	file = path.Clean(file)
	if _, err := l.options.Read(file); errors.Is(err, ErrOutside) {
		l.unread(n.place, cut(n.text), ErrOutside.Error())
		return "", false, nil
	}
	return file, true, nil
}

// remote reports whether compose would take the path for something to fetch:
// an OCI artifact or a Git repository.
func remote(s string) bool {
	return strings.Contains(s, "://") || strings.HasPrefix(s, "git@") || strings.HasPrefix(s, "github.com/") ||
		strings.Contains(s, ".git#") || strings.HasSuffix(s, ".git")
}
