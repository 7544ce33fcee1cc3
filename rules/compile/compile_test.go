package compile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/syntax"
)

// compiled is the expressions of a rule in a chain of its own.
func compiled(t *testing.T, family rules.Family, opts compile.Options, statements ...syntax.Stmt) []rules.Expr {
	t.Helper()
	c := compile.New(opts)
	for _, d := range []syntax.Decl{
		&syntax.Table{Family: family, Name: "t"},
		&syntax.Chain{Family: family, Table: "t", Name: "c"},
		&syntax.Rule{Family: family, Table: "t", Chain: "c", Statements: statements},
	} {
		if err := c.Add(d); err != nil {
			t.Fatal(err)
		}
	}
	return c.Ruleset().Tables[0].Chain("c").Rules[0].Exprs.All()
}

func kinds(list []rules.Expr) string {
	var names []string
	for _, e := range list {
		if _, is := e.(*rules.Opaque); is {
			names = append(names, "opaque")
			continue
		}
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func field(protocol, name, op string, right syntax.Expr) syntax.Stmt {
	return &syntax.Match{Op: op, Left: &syntax.Payload{Protocol: protocol, Field: name}, Right: right}
}

func number(n uint64) syntax.Expr { return &syntax.Number{Value: n} }

func text(s string) syntax.Expr { return &syntax.Text{Value: s} }

// Versions of nft differ on != of fields side by side.
func TestUnequal(t *testing.T) {
	for how, want := range map[compile.Unequal]string{
		compile.UnequalMerged:  "meta cmp payload cmp",
		compile.UnequalApart:   "meta cmp payload cmp payload cmp",
		compile.UnequalUnknown: "meta cmp opaque",
	} {
		got := compiled(t, rules.IP, compile.Options{Unequal: how}, field("tcp", "sport", "!=", number(1)), field("tcp", "dport", "!=", number(2)))
		if kinds(got) != want {
			t.Errorf("%d: %s, want %s", how, kinds(got), want)
		}
		for _, other := range [][]syntax.Stmt{
			{field("tcp", "sport", "!=", number(1)), field("tcp", "dport", "==", number(2))},
			{field("ip", "saddr", "!=", text("10.0.0.1")), field("ip", "daddr", "!=", text("10.0.0.2"))},
		} {
			if got := kinds(compiled(t, rules.IP, compile.Options{Unequal: how}, other...)); strings.Contains(got, "opaque") {
				t.Errorf("%d: %s", how, got)
			}
		}
	}
}

// The dependencies that a family leaves open are added, once.
func TestDependencies(t *testing.T) {
	ssh := field("tcp", "dport", "==", number(22))
	from := field("ip", "saddr", "==", text("10.0.0.1"))
	for _, c := range []struct {
		family     rules.Family
		statements []syntax.Stmt
		want       string
	}{
		{rules.IP, []syntax.Stmt{ssh, ssh}, "meta cmp payload cmp payload cmp"},
		{rules.Inet, []syntax.Stmt{from, ssh}, "meta cmp payload cmp meta cmp payload cmp"},
		{rules.Bridge, []syntax.Stmt{from}, "meta cmp payload cmp"},
		{rules.Bridge, []syntax.Stmt{field("vlan", "id", "==", number(3))}, "payload cmp payload bitwise cmp"},
		{rules.Netdev, []syntax.Stmt{field("icmp", "type", "==", text("echo-request"))}, "meta cmp meta cmp payload cmp"},
		{rules.Inet, []syntax.Stmt{&syntax.Log{}, &syntax.Reject{Type: "tcp reset"}}, "meta cmp log reject"},
	} {
		if got := kinds(compiled(t, c.family, compile.Options{}, c.statements...)); got != c.want {
			t.Errorf("%s: %s, want %s", c.family, got, c.want)
		}
	}
}

// What doesn't fit is an error, or with Listed opaque.
func TestListed(t *testing.T) {
	wrong := field("tcp", "dport", "==", number(70000))
	if got := kinds(compiled(t, rules.IP, compile.Options{Listed: true}, wrong, &syntax.Verdict{Kind: "accept"})); got != "opaque immediate" {
		t.Error(got)
	}
	c := compile.New(compile.Options{})
	pos := syntax.Pos{File: "f", Line: 3, Column: 4}
	err := c.Add(&syntax.Table{Family: rules.IP, Name: "t"})
	if err == nil {
		err = c.Add(&syntax.Chain{Family: rules.IP, Table: "t", Name: "c"})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, right := range []syntax.Expr{&syntax.Number{Pos: pos, Value: 70000}, &syntax.Text{Pos: pos, Value: ""}, &syntax.Verdict{Pos: pos, Kind: "accept"}} {
		err := c.Add(&syntax.Rule{Family: rules.IP, Table: "t", Chain: "c", Statements: []syntax.Stmt{
			&syntax.Match{Op: "==", Left: &syntax.Payload{Protocol: "icmp", Field: "type"}, Right: right}}})
		if err == nil || !strings.HasPrefix(err.Error(), "f:3:4: ") {
			t.Errorf("%+v: %v", right, err)
		}
	}
}

func TestHours(t *testing.T) {
	opts := compile.Options{Location: time.FixedZone("x", 2*3600)}
	night := &syntax.Match{Op: "==", Left: &syntax.Meta{Key: "hour"}, Right: &syntax.Range{From: text("23:00"), To: text("03:00")}}
	// 21:00 to 01:00 in UTC: what lies between the two is outside.
	list := compiled(t, rules.IP, opts, night)
	r, ok := list[len(list)-1].(*rules.Range)
	if !ok || r.Op != 1 || string(r.From) != "\x00\x00\x0e\x10" || string(r.To) != "\x00\x01\x27\x50" {
		t.Errorf("%s %+v", kinds(list), r)
	}
}

func TestSpan(t *testing.T) {
	for s, want := range map[string]uint64{"30": 30000, "1s": 1000, "500ms": 500, "1d2h3m4s5ms": 93784005, "1m30s": 90000} {
		if got, ok := compile.Span(s); !ok || got != want {
			t.Errorf("%s: %d", s, got)
		}
	}
	for _, s := range []string{"", "s", "1x", "1s2", "-1s", "99999999999999s"} {
		if got, ok := compile.Span(s); ok {
			t.Errorf("%s: %d", s, got)
		}
	}
}
