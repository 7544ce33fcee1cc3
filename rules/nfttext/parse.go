// Package nfttext reads nft's language (nft(8)): what `nft list ruleset`
// prints, with or without handles (-a), and files as people write them, such as
// /etc/nftables.conf.
//
// The text is cut into tokens (lexer.go), and they become the tree of package
// syntax, statement by statement (rule.go, action.go, expr.go, field.go), which
// package compile turns into what the kernel would hold. A table's block is read
// twice, for what it declares and then for its rules, so that neither a tree of
// all rules nor of all elements is ever held. Commands (command.go) change what
// was read so far. Nothing is skipped: what is not understood is a
// [rules.SyntaxError].
//
// More is taken than nft takes where it does no harm: names that are keywords,
// blank lines in sets, a brace behind the last rule of a line, a chain that is
// renamed by the file that makes it, and what only the kernel would refuse in a
// family or at a hook.
package nfttext

import (
	"fmt"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
)

// textMax bounds a text, in bytes.
const textMax = 1 << 30

// Options is what a text alone doesn't tell. The zero value is for a text from elsewhere.
type Options struct {
	compile.Options
	// Include finds the files that an include names, which may be a pattern, in
	// the order they are read. Without it an include is an error.
	Include func(pattern string) ([]File, error)
}

// Parse reads a text, which starts with an empty ruleset. The file's name is
// for errors, which are [rules.SyntaxError] or those of Include, and for
// where a rule is from.
func Parse(file, text string, o Options) (*rules.Ruleset, error) {
	if len(text) > textMax {
		return nil, fmt.Errorf("read %s: a text of up to %d bytes was expected, not %d", file, textMax, len(text))
	}
	p := &parser{names: map[string]string{}, scope: &scope{}, out: compile.New(o.Options)}
	p.files = files{include: o.Include, found: map[string][]File{}}
	p.read(file, text, p.command)
	if p.err == nil {
		p.stop(p.out.Check())
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.out.Ruleset(), nil
}

// read reads a whole text whose statements are read by item.
func (p *parser) read(file, text string, item func()) {
	p.file, p.lexer = file, startOf(text)
	p.advance()
	for p.err == nil && p.tok.kind != end {
		switch {
		case p.tok.kind == newline || p.at(";"):
			p.advance()
		case p.definition(item):
		default:
			item()
		}
	}
}
