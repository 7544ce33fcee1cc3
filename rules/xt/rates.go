package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_limit.h.

var rateMatches = []extension{
	{name: "limit", size: 40, init: func(b *blob) {
		b.put(0, 4, 10000*3600/3)
		b.put(4, 4, 5)
	}, options: []option{
		{names: []string{"--limit"}, value: value{1, func(b *blob, _ bool, w []string) error {
			v, _, err := period(w[0], 10000)
			b.put(0, 4, v)
			return err
		}, func(b *blob) (string, bool) {
			return periodText(uint64(b.u32(0)), 10000)
		}}, shown: always},
		{names: []string{"--limit-burst"}, value: integerIn(4, 4, 0, 10000), shown: unless(4, 4, 5)}}},
}

var rateUnits = []struct {
	text    string // as it is printed
	long    string // as it is read, or the start of it
	seconds uint64
}{{"sec", "second", 1}, {"min", "minute", 60}, {"hour", "hour", 3600}, {"day", "day", 86400}}

// period reads a rate, as 10/min, into the time for one in units of 1/scale of
// a second, and says how many seconds its own unit has.
func period(s string, scale uint64) (v, seconds uint64, err error) {
	n, unit, slash := strings.Cut(s, "/")
	rate, err := strconv.ParseUint(n, 10, 31)
	if err != nil || rate == 0 {
		return 0, 0, fmt.Errorf("%q is not a rate", s)
	}
	if slash && unit == "" {
		return 0, 0, fmt.Errorf("%q lacks its unit", s)
	}
	for _, u := range rateUnits {
		if len(unit) <= len(u.long) && strings.EqualFold(u.long[:len(unit)], unit) {
			if v = scale * u.seconds / rate; v == 0 {
				return 0, 0, fmt.Errorf("%s is too fast", s)
			}
			return v, u.seconds, nil
		}
	}
	return 0, 0, fmt.Errorf("%q is not a unit of time", unit)
}

// rateUnit is the largest unit in which a rate is about whole.
func rateUnit(v, scale uint64) (name string, seconds uint64) {
	i := len(rateUnits) - 1
	for ; i > 0; i-- {
		if unit := scale * rateUnits[i-1].seconds; v > unit || unit/v < unit%v {
			break
		}
	}
	return rateUnits[i].text, rateUnits[i].seconds
}

// periodText is the rate in rateUnit.
func periodText(v, scale uint64) (string, bool) {
	if v == 0 {
		return "", false
	}
	name, seconds := rateUnit(v, scale)
	return strconv.FormatUint(scale*seconds/v, 10) + "/" + name, true
}

// Limit is what limit has: Period is the time for one packet, in 1/10000 of a
// second (XT_LIMIT_SCALE).
type Limit struct{ Period, Burst uint32 }

// DecodeLimit reads the match limit.
func DecodeLimit(m *rules.Match) (Limit, bool) {
	b, ok := decode(m, "limit", 0, 40)
	if !ok {
		return Limit{}, false
	}
	return Limit{b.u32(0), b.u32(4)}, true
}
