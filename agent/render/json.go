package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON writes v indented. What is not visible stands as \u escapes, so that a
// document may be looked at in a terminal.
func JSON(v any) ([]byte, error) {
	doc, err := encode(v)
	if err != nil {
		return nil, err
	}
	return VisibleJSON(doc), nil
}

// VisibleJSON is a document in JSON, with escapes for what is not visible.
func VisibleJSON(doc []byte) []byte {
	return escapeDoc(doc, func(out []byte, r rune) []byte {
		if r < 0x10000 {
			return fmt.Appendf(out, `\u%04x`, r)
		}
		hi, lo := utf16.EncodeRune(r)
		return fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
	})
}

// NDJSON writes each of a list as one line.
func NDJSON[T any](list []T) ([]byte, error) {
	var all bytes.Buffer
	for _, v := range list {
		doc, err := JSON(v)
		if err != nil {
			return nil, err
		}
		if err := json.Compact(&all, doc); err != nil {
			return nil, fmt.Errorf("encoding JSON: %w", err)
		}
		all.WriteByte('\n')
	}
	return all.Bytes(), nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // for people to read; no JSON of ours goes into a page as it is
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding JSON: %w", err)
	}
	return b.Bytes(), nil
}

// escapeDoc replaces what is not visible in an encoded document. It stands in
// quoted strings only, and the encoder has escaped C0 already.
func escapeDoc(doc []byte, escape func([]byte, rune) []byte) []byte {
	clean := true
	for i := 0; i < len(doc); i++ {
		if doc[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return doc
	}
	out := make([]byte, 0, len(doc)+len(doc)/8)
	for len(doc) > 0 {
		r, n := utf8.DecodeRune(doc)
		if r < 0x7f || visible(r) {
			out = append(out, doc[:n]...)
		} else {
			out = escape(out, r)
		}
		doc = doc[n:]
	}
	return out
}
