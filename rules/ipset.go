package rules

import (
	"encoding/json"
	"strings"
)

// IPSet is a set of ipset(8). Elements are as `ipset save` writes them. Of one that
// is Unread only name, number, type and family are told.
type IPSet struct {
	Name     string
	Index    uint16 // of the kernel; 0xffff if the source has none
	Type     string // hash:ip, hash:net,port, bitmap:port, list:set, …
	Family   Family // IP or IP6; 0 where the type has none
	Options  map[string]string
	Elements []IPSetElement
	Known    bool
	Unread   bool `json:",omitempty"`
}

// IPSetElement is one entry of an ipset.
type IPSetElement struct {
	Entry   string // 10.0.0.1, 10.0.0.0/8,tcp:80, …
	Options EntryOptions
}

// noMatch is the option of an exception, which JSON has as a field of its own.
const noMatch = "nomatch"

// NoMatch reports whether the entry is an exception.
func (e *IPSetElement) NoMatch() bool {
	_, there := e.Options.Get(noMatch)
	return there
}

// elementJSON is an IPSetElement in JSON.
type elementJSON struct {
	Entry   string
	NoMatch bool
	Options map[string]string
}

// MarshalJSON writes the entry.
func (e *IPSetElement) MarshalJSON() ([]byte, error) {
	j := elementJSON{e.Entry, e.NoMatch(), e.Options.Map()}
	delete(j.Options, noMatch)
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *IPSetElement) UnmarshalJSON(b []byte) error {
	var j elementJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*e = IPSetElement{j.Entry, OptionsOf(j.Options)}
	if j.NoMatch {
		e.Options = e.Options.With(noMatch, "")
	}
	return nil
}

// EntryOptions are an entry's timeout, skbmark, comment, … with their values, and
// nomatch where it is an exception. Sets
// may have millions of entries, so they are one string: names and values in turns,
// with a NUL byte behind each, in the order of the names.
type EntryOptions string

// OptionsOf makes options of names and their values.
func OptionsOf(m map[string]string) EntryOptions {
	var o EntryOptions
	for name, value := range m {
		o = o.With(name, value)
	}
	return o
}

// With adds an option, or gives one another value. What is behind a NUL byte is left out.
func (o EntryOptions) With(name, value string) EntryOptions {
	name, _, _ = strings.Cut(name, "\x00")
	value, _, _ = strings.Cut(value, "\x00")
	one := EntryOptions(name + "\x00" + value + "\x00")
	for behind := o; behind != ""; {
		is, _, rest := behind.next()
		if is >= name {
			before := o[:len(o)-len(behind)]
			if is == name {
				behind = rest
			}
			return before + one + behind
		}
		behind = rest
	}
	return o + one
}

// next takes the first option off.
func (o EntryOptions) next() (name, value string, rest EntryOptions) {
	name, s, _ := strings.Cut(string(o), "\x00")
	value, s, _ = strings.Cut(s, "\x00")
	return name, value, EntryOptions(s)
}

// Get is an option's value, and whether it is there.
func (o EntryOptions) Get(name string) (value string, there bool) {
	for o != "" {
		var is string
		if is, value, o = o.next(); is == name {
			return value, true
		}
	}
	return "", false
}

// Map is all options; nil if there are none.
func (o EntryOptions) Map() map[string]string {
	var m map[string]string
	for o != "" {
		var name, value string
		name, value, o = o.next()
		if m == nil {
			m = map[string]string{}
		}
		m[name] = value
	}
	return m
}
