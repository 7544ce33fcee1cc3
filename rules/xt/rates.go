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
			v, err := period(w[0], 10000)
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
// a second.
func period(s string, scale uint64) (uint64, error) {
	n, unit, _ := strings.Cut(s, "/")
	rate, err := strconv.ParseUint(n, 10, 31)
	if err != nil || rate == 0 {
		return 0, fmt.Errorf("%q is not a rate", s)
	}
	if strings.Contains(s, "/") && unit == "" {
		return 0, fmt.Errorf("%q lacks its unit", s)
	}
	for _, u := range rateUnits {
		if len(unit) <= len(u.long) && strings.EqualFold(u.long[:len(unit)], unit) {
			v := scale * u.seconds / rate
			if v == 0 {
				return 0, fmt.Errorf("%s is too fast", s)
			}
			if v > 0xffffffff {
				return 0, fmt.Errorf("%s is too slow", s)
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("%q is not a unit of time", unit)
}

// periodText is the rate in the largest unit in which it is about whole.
func periodText(v, scale uint64) (string, bool) {
	if v == 0 {
		return "", false
	}
	i := len(rateUnits) - 1
	for ; i > 0; i-- {
		if unit := scale * rateUnits[i-1].seconds; v > unit || unit/v < unit%v {
			break
		}
	}
	u := rateUnits[i]
	return strconv.FormatUint(scale*u.seconds/v, 10) + "/" + u.text, true
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
