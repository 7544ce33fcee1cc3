package redact

import (
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
	"github.com/portwhy/portwhy/rules"
)

// mode is what a walk through a recording is for: first everything is seen, so
// that what is secret in one place can be replaced in all.
type mode int

const (
	seeing mode = iota
	changing
)

// walker goes through the values of a recording.
type walker struct {
	*Redactor
	mode mode
}

// item goes through a question.
func (w *walker) item(i *replay.Item) {
	if i.Args != nil {
		w.value(reflect.ValueOf(i.Args).Elem(), arguments(i.Question))
	}
	if w.level == All {
		w.filters(i)
	}
	w.value(reflect.ValueOf(i.Answer).Elem(), text)
	w.stringValue(reflect.ValueOf(&i.Error).Elem(), text)
}

// filters goes through the addresses in rules and sets.
func (w *walker) filters(i *replay.Item) {
	switch i.Question {
	case "firewall":
		if f := i.Answer.(*host.Firewall); f.Rules != nil {
			w.ruleset(f.Rules, i.View)
		}
	case "set-element":
		q, e := i.Args.(*host.SetQuery), *i.Answer.(**rules.Element)
		places := w.sets[setID{i.View, q.Family, q.Table, q.Set}]
		if places == nil {
			w.keep("keys of sets whose rules are not in the recording", q.Set)
			return
		}
		keys := runsOf(places.key, len(q.Key))
		w.element(&rules.Element{Key: q.Key}, keys)
		if e != nil {
			w.element(e, keys)
			w.values(e, places)
		}
	}
}

// arguments is what the argument of a question is that takes a plain string.
func arguments(question string) class {
	switch question {
	case "resolve", "resolve-dns":
		return hostText
	case "user":
		return userText
	case "unit":
		return unitText
	case "cgroup", "programs":
		return cgroupText
	case "sysctl", "excluded-ports":
		return plainText
	}
	return text
}

// value goes through a value and all that is in it. c is what its strings are.
func (w *walker) value(v reflect.Value, c class) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			w.value(v.Elem(), c)
		}
	case reflect.String:
		w.stringValue(v, c)
	case reflect.Slice:
		switch list := v.Interface().(type) {
		case []byte:
			w.bytes(v, c)
			return
		case []string:
			if c == argvText {
				w.argv(list)
				return
			}
		}
		for i := range v.Len() {
			w.value(v.Index(i), c)
		}
	case reflect.Map:
		w.entries(v, c)
	case reflect.Struct:
		w.structure(v)
	}
}

func (w *walker) structure(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *netip.Addr:
		w.address(x)
		return
	case *netip.AddrPort:
		a := x.Addr()
		w.address(&a)
		*x = netip.AddrPortFrom(a, x.Port())
		return
	case *netip.Prefix:
		w.prefix(x)
		return
	case *time.Time:
		return
	case *host.Address:
		if w.mode == seeing && w.level == All {
			w.addresses.subnet(x.Prefix)
			w.addresses.subnet(x.Peer)
		}
	case *rules.Rule:
		about := x.About()
		w.structure(reflect.ValueOf(&about).Elem())
		if w.mode == changing {
			x.Tell(about)
		}
	case *rules.List:
		for _, e := range x.All() {
			w.value(reflect.ValueOf(e), text)
		}
		return
	case *rules.IPSetElement:
		options := x.Options.Map()
		w.value(reflect.ValueOf(&x.Entry).Elem(), text)
		w.entries(reflect.ValueOf(options), text)
		if w.mode == changing {
			x.Options = rules.OptionsOf(options)
		}
		return
	case *rules.Elements:
		w.elements(x)
		return
	case *rules.Match:
		w.extension(x.Ext, x.Data)
	case *rules.Target:
		w.extension(x.Ext, x.Data)
	}
	t := v.Type()
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			w.value(v.Field(i), classOf(t, t.Field(i).Name))
		}
	}
}

// elements goes through the texts of a set's elements.
func (w *walker) elements(l *rules.Elements) {
	var changed rules.Elements
	for _, e := range l.All() {
		w.structure(reflect.ValueOf(&e).Elem())
		if w.mode == changing {
			changed.Append(e)
		}
	}
	if w.mode == changing {
		*l = changed
	}
}

func (w *walker) address(a *netip.Addr) {
	if w.mode == changing && w.level == All {
		*a = w.mapped(*a)
	}
}

func (w *walker) prefix(p *netip.Prefix) {
	if w.mode == changing && w.level == All {
		old := *p
		*p = w.addresses.prefix(old)
		w.tally.note(ofIP, old.String(), p.String())
	}
}

// mapped maps an address, and counts it.
func (r *Redactor) mapped(a netip.Addr) netip.Addr {
	out := r.addresses.addr(a)
	r.tally.note(ofIP, a.String(), out.String())
	return out
}

func (w *walker) stringValue(v reflect.Value, c class) {
	s := v.String()
	if s == "" {
		return
	}
	if w.mode == seeing {
		w.see(c, s)
	} else if changed := w.change(c, s); changed != s {
		v.SetString(changed)
	}
}

// argv goes through a command line.
func (w *walker) argv(args []string) {
	found := w.finder.arguments(args)
	for i, arg := range args {
		if w.mode == seeing {
			w.seeSecrets(arg, found[i])
			w.seeText(arg)
			if w.level != All {
				continue
			}
			w.names.seeHosts(arg)
			if i > 0 && strings.HasPrefix(args[i-1], "-") && hostKey(args[i-1]) {
				w.names.seeValue(arg)
			}
		} else {
			args[i] = w.rewrite(arg, found[i])
		}
	}
}

// entries goes through a map of strings; its keys are words of ours, or names of
// variables and options.
func (w *walker) entries(v reflect.Value, c class) {
	if v.Type().Elem().Kind() == reflect.String {
		for _, key := range v.MapKeys() {
			old := v.MapIndex(key).String()
			changed := reflect.New(v.Type().Elem()).Elem()
			changed.SetString(old)
			w.setting(key.String(), changed, c)
			v.SetMapIndex(key, changed)
		}
		return
	}
	for _, key := range v.MapKeys() {
		changed := reflect.New(v.Type().Elem()).Elem()
		changed.Set(v.MapIndex(key))
		w.value(changed, c)
		v.SetMapIndex(key, changed)
	}
}

// setting is the value of a name: all of it is secret if the name says so.
func (w *walker) setting(name string, v reflect.Value, c class) {
	s := v.String()
	if secretKey(name) == plainKey || harmless(s) {
		w.stringValue(v, c)
		return
	}
	whole := []found{{0, len(s), byName}}
	if w.mode == seeing {
		w.seeSecrets(s, whole)
	} else {
		v.SetString(w.rewrite(s, whole))
	}
}

// bytes goes through bytes that are not an address: what is sent, or what a
// rule holds that only the kernel understands.
func (w *walker) bytes(v reflect.Value, c class) {
	if c != payloadText {
		return
	}
	s := string(v.Bytes())
	if s == "" {
		return
	}
	if w.mode == seeing {
		w.see(text, s)
	} else {
		v.SetBytes([]byte(w.change(text, s)))
	}
}
