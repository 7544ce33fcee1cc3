package nfttext

import "github.com/portwhy/portwhy/rules/syntax"

// Statement reads a single statement that stands within something else, at at,
// which is where its rules are said to be from if it has any.
func Statement(at syntax.Pos, text string) (syntax.Stmt, error) {
	p := &parser{names: map[string]string{}, scope: &scope{}, ruling: true}
	p.file, p.lexer = at.File, startOf(text)
	p.advance()
	st := p.statement()
	if p.err == nil && p.tok.kind != end {
		p.expected("nothing more")
	}
	if p.err != nil {
		return nil, p.err
	}
	if v, ok := st.(*syntax.Verdict); ok {
		for _, r := range v.Rules {
			r.Pos = at
		}
	}
	return st, nil
}
