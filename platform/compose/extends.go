package compose

import "path"

// extendAll lays each service of a document over the one that it extends.
func (l *loading) extendAll(s scope, name string, doc *node) error {
	services := doc.get("services")
	if services == nil || services.kind != mapping {
		return nil
	}
	for _, service := range services.keys {
		merged, err := l.extend(s, name, services, service, nil)
		if err != nil {
			return err
		}
		services.set(service, merged)
	}
	return nil
}

// extend returns a service of a file's services with all that it extends.
func (l *loading) extend(s scope, name string, services *node, service string, way []string) (*node, error) {
	n := services.of[service]
	if n == nil || n.kind != mapping || n.mark == resets {
		return n, nil
	}
	extends := n.get("extends")
	if extends == nil {
		return n, nil
	}
	from := extends
	if extends.kind == mapping {
		if from = extends.get("service"); from == nil {
			return nil, l.fail(extends.place, "extends names no service")
		}
	}
	if from.kind != scalar || from.text == "" {
		return nil, l.fail(extends.place, "extends names a service, or has keys with one")
	}
	here := name + "\x00" + service
	for _, before := range way {
		if before == here {
			return nil, l.fail(extends.place, "%s extends itself", cut(service))
		}
	}
	if way = append(way, here); len(way) > maxNested {
		return nil, l.fail(extends.place, "extends nests deeper than %d", maxNested)
	}
	base := services
	inner, file := s, name
	if f := extends.get("file"); extends.kind == mapping && f != nil {
		var ok bool
		var err error
		if file, ok, err = l.local(s.dir, f, "extends"); err != nil {
			return nil, err
		}
		if !ok {
			n.drop("extends")
			return n, nil
		}
		docs, err := l.documents(file, f.place, s.env)
		if err != nil {
			return nil, err
		}
		var model *node
		for _, doc := range docs {
			if model, err = l.merge(model, doc, nil, false); err != nil {
				return nil, err
			}
		}
		base = model.get("services")
		inner.dir = path.Dir(file)
	}
	if base == nil || base.kind != mapping || base.of[from.text] == nil {
		return nil, l.fail(from.place, "there is no service %q in %s to extend", cut(from.text), l.options.Show(file))
	}
	extended, err := l.extend(inner, file, base, from.text, way)
	if err != nil {
		return nil, err
	}
	if base == services && extended != nil {
		services.set(from.text, extended)
	}
	copied, err := l.clone(extended)
	if err != nil {
		return nil, err
	}
	// A mark is for what its own service overrides.
	if copied != nil {
		if copied, err = l.settle(copied, nil, false); err != nil {
			return nil, err
		}
	}
	over, err := l.clone(n)
	if err != nil {
		return nil, err
	}
	merged, err := l.merge(copied, over, []string{"services", service}, true)
	if err != nil || merged == nil {
		return nil, err
	}
	merged.drop("extends")
	merged.key = n.key
	return merged, nil
}
