package xt

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Structure of xt_time.h: dates in seconds, times of the day in seconds, and
// days as bits.

const (
	allMonthDays = 0xfffffffe
	allWeekDays  = 0xfe
	lastSecond   = 86399
)

var timeMatches = []extension{
	{name: "time", size: 22, init: func(b *blob) {
		b.put(4, 4, math.MaxInt32)
		b.put(12, 4, lastSecond)
		b.put(16, 4, allMonthDays)
		b.put(20, 1, allWeekDays)
	}, options: []option{
		{names: []string{"--timestart"}, value: timeOfDay(8), shown: either(unless(8, 4, 0), unless(12, 4, lastSecond))},
		{names: []string{"--timestop"}, value: timeOfDay(12), shown: either(unless(8, 4, 0), unless(12, 4, lastSecond))},
		{names: []string{"--monthdays"}, value: dayList(16, 4, monthDays()), shown: unless(16, 4, allMonthDays), either: true},
		{names: []string{"--weekdays"}, value: dayList(20, 1, weekDays), shown: unless(20, 1, allWeekDays), either: true},
		{names: []string{"--datestart"}, value: date(0), shown: unless(0, 4, 0)},
		// The tool means to leave out the last date that there is, but writes it.
		{names: []string{"--datestop"}, value: date(4), shown: unless(4, 4, 0)},
		{names: []string{"--kerneltz"}, on: bits8(21, 1)},
		{names: []string{"--localtz"}, on: bits8(21, 1), hidden: true},
		{names: []string{"--utc"}, hidden: true},
		{names: []string{"--contiguous"}, on: bits8(21, 2)}},
		finish: func(b *blob) error {
			if b.gave("--utc") && (b.gave("--kerneltz") || b.gave("--localtz")) {
				return fmt.Errorf("--utc and --kerneltz exclude each other")
			}
			if b.d[21]&2 != 0 && b.u32(8) < b.u32(12) {
				return fmt.Errorf("--contiguous needs a --timestop before --timestart")
			}
			return nil
		}},
}

// clock is hours:minutes[:seconds].
func clock(s string) (uint64, error) {
	total, unit := uint64(0), uint64(3600)
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, fmt.Errorf("%q is not a time of the day", s)
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 8)
		if err != nil || v > 59 || i == 0 && v > 23 {
			return 0, fmt.Errorf("%q is not a time of the day", s)
		}
		total += v * unit
		unit /= 60
	}
	return total, nil
}

func timeOfDay(at int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		v, err := clock(w[0])
		b.put(at, 4, v)
		return err
	}, func(b *blob) (string, bool) {
		v := b.u32(at)
		return fmt.Sprintf("%02d:%02d:%02d", v/3600, v/60%60, v%60), true
	}}
}

// date is YYYY[-MM[-DD[Thh[:mm[:ss]]]]], in UTC.
func date(at int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		layout := "2006-1-2T15:4:5"
		for _, cut := range []string{"", ":5", ":4:5", "T15:4:5", "-2T15:4:5", "-1-2T15:4:5"} {
			t, err := time.Parse(strings.TrimSuffix(layout, cut), w[0])
			if err != nil {
				continue
			}
			if v := t.Unix(); v >= 0 && v <= math.MaxUint32 && t.Year() <= 2038 {
				b.put(at, 4, uint64(v))
				return nil
			}
		}
		return fmt.Errorf("%q is not a date", w[0])
	}, func(b *blob) (string, bool) {
		return time.Unix(int64(b.u32(at)), 0).UTC().Format("2006-01-02T15:04:05"), true
	}}
}

var weekDays = []name{{"Mon", 1 << 1}, {"Tue", 1 << 2}, {"Wed", 1 << 3}, {"Thu", 1 << 4}, {"Fri", 1 << 5}, {"Sat", 1 << 6}, {"Sun", 1 << 7}}

func monthDays() []name {
	var list []name
	for i := 1; i <= 31; i++ {
		list = append(list, name{strconv.Itoa(i), 1 << i})
	}
	return list
}

// dayList is days, by number or the first two letters of their names. Behind a
// "!" it is the other days.
func dayList(at, size int, days []name) value {
	all := uint64(0)
	for _, d := range days {
		all |= d.v
	}
	return value{1, func(b *blob, not bool, w []string) error {
		v := uint64(0)
		for s := range strings.SplitSeq(w[0], ",") {
			if n, err := number(s, 1, uint64(len(days))); err == nil {
				v |= 1 << n
				continue
			}
			found := false
			for _, d := range days {
				if len(s) >= 2 && d.text[0] > '9' && strings.HasPrefix(s, d.text[:2]) {
					v, found = v|d.v, true
				}
			}
			if !found {
				return fmt.Errorf("%q is not a day", s)
			}
		}
		if not {
			v ^= all
		}
		b.put(at, size, v)
		return nil
	}, func(b *blob) (string, bool) { return flagText(days, b.uint(at, size)) }}
}
