package compose

import (
	"slices"
	"strings"
)

// merge lays one value over another, as compose merges files: mappings key by
// key, lists one after the other, anything else is replaced; !reset takes away
// and !override replaces. With keep, these marks stay for the next value that
// this one is laid over. Neither argument may be used afterwards.
func (l *loading) merge(base, over *node, way []string, keep bool) (*node, error) {
	switch {
	case over == nil:
		return base, nil
	case over.mark == resets && keep:
		return over, nil
	case over.mark == resets:
		return nil, nil
	case base == nil || base.mark == resets || over.mark == replaces:
		return l.settle(over, way, keep)
	case over.kind == scalar && over.null && base.kind != scalar:
		return base, nil
	}
	if err := l.spend(over.place, 1); err != nil {
		return nil, err
	}
	if isEnvironment(way) {
		base, over = asMapping(base), asMapping(over)
	}
	switch {
	case replacedWhole(way):
		return over, nil
	case base.kind != over.kind:
		return nil, l.fail(over.place, "%s can't be overridden by a value of another kind; the first one is at %s:%d", strings.Join(way, "."), l.options.Show(base.file), base.line)
	case over.kind == mapping:
		for _, key := range over.keys {
			merged, err := l.merge(base.of[key], over.of[key], append(way, key), keep)
			if err != nil {
				return nil, err
			}
			if merged == nil {
				base.drop(key)
				continue
			}
			base.set(key, merged)
		}
		base.mark = max(base.mark, over.mark)
		return base, nil
	case over.kind == sequence:
		base.list = append(base.list, over.list...)
		return base, nil
	}
	return over, nil
}

// settle takes the marks off a value that has nothing below it.
func (l *loading) settle(n *node, way []string, keep bool) (*node, error) {
	if keep {
		return n, nil
	}
	n.mark = merges
	for _, key := range slices.Clone(n.keys) {
		v, err := l.merge(nil, n.of[key], append(way, key), false)
		if err != nil {
			return nil, err
		}
		if v == nil {
			n.drop(key)
		} else {
			n.of[key] = v
		}
	}
	return n, nil
}

// isEnvironment: a service's environment is a mapping or a list of NAME=value.
func isEnvironment(way []string) bool {
	return len(way) == 3 && way[0] == "services" && way[2] == "environment"
}

func replacedWhole(way []string) bool {
	return len(way) == 3 && way[0] == "services" && way[2] == "command"
}

func asMapping(n *node) *node {
	if n.kind != sequence {
		return n
	}
	out := &node{place: n.place, kind: mapping, mark: n.mark, key: n.key}
	for _, item := range n.list {
		name, value, _ := strings.Cut(item.text, "=")
		v := *item
		v.text = value
		out.set(name, &v)
	}
	return out
}

// clone copies a value, so that what is laid over the copy leaves it alone.
func (l *loading) clone(n *node) (*node, error) {
	if n == nil {
		return nil, nil
	}
	if err := l.spend(n.place, 1); err != nil {
		return nil, err
	}
	out := *n
	out.keys = slices.Clone(n.keys)
	out.list = slices.Clone(n.list)
	if n.of != nil {
		out.of = make(map[string]*node, len(n.of))
		for key, v := range n.of {
			c, err := l.clone(v)
			if err != nil {
				return nil, err
			}
			out.of[key] = c
		}
	}
	return &out, nil
}
