// Package syntax is nft's language as a tree: what libnftables-json(5) and
// nft(8) both write. Readers of either make it, package rules/compile turns it
// into what the kernel holds. Nothing here is resolved: names of fields, types,
// constants and sets are as they were written.
package syntax

import (
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// Pos is where a node was written. Line and Column count from 1, Column in bytes.
type Pos struct {
	File         string
	Line, Column int
}

// Position is the place itself; every node has it by embedding.
func (p Pos) Position() Pos { return p }

// Errorf makes the error that is reported for this place.
func (p Pos) Errorf(format string, args ...any) *rules.SyntaxError {
	return &rules.SyntaxError{File: p.File, Line: p.Line, Column: p.Column, Message: fmt.Sprintf(format, args...)}
}

// Decl is a thing of a ruleset: Table, Chain, Rule, Set, Elements, SetMore,
// Object or Flowtable. All name the table that they are in. What a rule refers to must be
// declared before it, as nft does itself with a table's block: its chains,
// objects, sets and flowtables first, then the rules.
type Decl interface {
	Position() Pos
	decl()
}

// Table is a table.
type Table struct {
	Pos
	Family  rules.Family
	Name    string
	Handle  uint64 // 0 if it is not written, as of all handles
	Flags   []string
	Comment string
}

// Chain is a chain, a base chain if it has a hook. Its rules follow as Rule.
type Chain struct {
	Pos
	Family   rules.Family
	Table    string
	Name     string
	Handle   uint64
	Type     string // filter, nat, route
	Hook     string
	Priority int32 // names are resolved (words.PriorityByName)
	Devices  []string
	Policy   string
	Flags    []string // offload
	Comment  string
}

// Rule is a rule, at the end of its chain.
type Rule struct {
	Pos
	Family     rules.Family
	Table      string
	Chain      string
	Handle     uint64
	Comment    string
	Statements []Stmt
}

// Set is a named set or, with Map, a map.
type Set struct {
	Pos
	Family  rules.Family
	Table   string
	Name    string
	Handle  uint64
	Map     bool
	Key     Type
	Data    Type   // of a map's values; {"verdict"} of a verdict map
	ObjType string // of a map of objects: counter, quota, limit, ct helper, …
	// DataInterval says that the values are ranges.
	DataInterval bool
	Flags        []string // constant, interval, timeout, dynamic
	Policy       string
	Size         uint32
	TimeoutMS    uint64
	GCIntervalMS uint64
	AutoMerge    bool
	Statements   []Stmt // that each element gets
	Elements     []Expr // as of Elements
	Comment      string
}

// Type is the type of keys or values: the names of a concatenation's fields, or
// (typeof) the expression whose type it is.
type Type struct {
	Names  []string
	Typeof Expr
}

// Elements are elements of a named set, each an Elem, a Mapping or a plain key.
type Elements struct {
	Pos
	Family   rules.Family
	Table    string
	Set      string
	Elements []Expr
	// Total is about how many follow, these among them; 0 if that isn't known.
	Total int
}

// SetMore is what is said of a set behind its elements. Unknown is why its
// elements are not to be trusted, empty if they are.
type SetMore struct {
	Pos
	Family     rules.Family
	Table      string
	Set        string
	Statements []Stmt
	AutoMerge  bool
	Unknown    string
}

// Object is a named stateful object. Value is what it does: Counter, Quota,
// Limit, Synproxy, HelperObject, TimeoutObject, ExpectationObject, Secmark,
// ConnLimit, or Unknown.
type Object struct {
	Pos
	Family  rules.Family
	Table   string
	Name    string
	Handle  uint64
	Kind    string // counter, quota, limit, synproxy, ct helper, ct timeout, ct expectation, secmark, tunnel
	Value   Stmt
	Comment string
}

// Flowtable is a flowtable.
type Flowtable struct {
	Pos
	Family   rules.Family
	Table    string
	Name     string
	Handle   uint64
	Hook     string
	Priority int32
	Devices  []string
	Flags    []string // offload
	Counter  bool
}

func (*Table) decl()     {}
func (*Chain) decl()     {}
func (*Rule) decl()      {}
func (*Set) decl()       {}
func (*Elements) decl()  {}
func (*SetMore) decl()   {}
func (*Object) decl()    {}
func (*Flowtable) decl() {}
