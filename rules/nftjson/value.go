package nftjson

import (
	"math"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules/syntax"
)

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

var kindNames = [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}

// maxProperties is how many properties an object can have; nft writes up to a dozen.
const maxProperties = 64

// value is a JSON value and where it is. keys are the names of an object's
// properties, which are in list.
type value struct {
	pos      syntax.Pos
	kind     kind
	negative bool
	number   uint64 // the amount; of a boolean 1 if true
	text     string
	keys     []string
	list     []value
	// used has a bit for each property that was read.
	used uint64
}

func (v *value) want(k kind) *value {
	if v.kind != k {
		failf(v.pos, "%s was expected, not %s", kindNames[k], kindNames[v.kind])
	}
	return v
}

// get is a property of an object, nil if it is not there.
func (v *value) get(key string) *value {
	v.want(object)
	for i, k := range v.keys {
		if k == key {
			v.used |= 1 << i
			return &v.list[i]
		}
	}
	return nil
}

// must is a property that has to be there.
func (v *value) must(key string) *value {
	p := v.get(key)
	if p == nil {
		failf(v.pos, "property %q was expected", key)
	}
	return p
}

// unread is the first property that nobody has read, empty if there is none.
func (v *value) unread() string {
	for i, k := range v.keys {
		if v.used&(1<<i) == 0 {
			return k
		}
	}
	return ""
}

// only is the name and value of an object's only property.
func (v *value) only() (string, *value) {
	if v.want(object); len(v.keys) != 1 {
		failf(v.pos, "an object with one property was expected")
	}
	v.used = 1
	return v.keys[0], &v.list[0]
}

func (v *value) str() string { return v.want(text).text }

func (v *value) uint(most uint64) uint64 {
	if v.want(number); v.negative || v.number > most {
		failf(v.pos, "a number up to %d was expected", most)
	}
	return v.number
}

func (v *value) u64() uint64 { return v.uint(math.MaxUint64) }
func (v *value) u32() uint32 {
	// nft prints what is beyond 31 bits as negative.
	if v.kind == number && v.negative && v.number <= 1<<31 {
		return uint32(-int64(v.number))
	}
	return uint32(v.uint(math.MaxUint32))
}

func (v *value) i32() int32 {
	v.want(number)
	n := int64(v.number)
	if v.negative {
		n = -n
	}
	if v.number > 1<<31 || n != int64(int32(n)) {
		failf(v.pos, "a number of 32 bits was expected")
	}
	return int32(n)
}

func (v *value) isTrue() bool { return v.want(boolean).number == 1 }

// strings is a string or an array of strings.
func (v *value) strings() []string {
	if v.kind == text {
		return []string{v.text}
	}
	list := make([]string, 0, len(v.want(array).list))
	for i := range v.list {
		list = append(list, v.list[i].str())
	}
	return list
}

// optional properties: what is not there is zero.

func (v *value) strOf(key string) string {
	if p := v.get(key); p != nil {
		return p.str()
	}
	return ""
}

func (v *value) u64Of(key string) uint64 {
	if p := v.get(key); p != nil {
		return p.u64()
	}
	return 0
}

func (v *value) u32Of(key string) uint32 {
	if p := v.get(key); p != nil {
		return p.u32()
	}
	return 0
}

func (v *value) boolOf(key string) bool {
	p := v.get(key)
	return p != nil && p.isTrue()
}

func (v *value) stringsOf(key string) []string {
	if p := v.get(key); p != nil {
		return p.strings()
	}
	return nil
}

// milliseconds is a property in seconds.
func (v *value) msOf(key string) uint64 {
	if p := v.get(key); p != nil {
		return p.uint(math.MaxUint64/1000) * 1000
	}
	return 0
}

// setName is a name behind an @.
func (v *value) setName() string {
	name, ok := strings.CutPrefix(v.str(), "@")
	if !ok || name == "" {
		failf(v.pos, "@ and a name were expected")
	}
	return name
}

// plain is a short text of a value, for messages.
func (v *value) plain() string {
	switch v.kind {
	case text:
		const most = 60
		if s := strconv.Quote(v.text); len(s) <= most {
			return s
		}
		return strconv.Quote(v.text[:most/2]) + "…"
	case number:
		return strconv.FormatUint(v.number, 10)
	}
	return kindNames[v.kind]
}
