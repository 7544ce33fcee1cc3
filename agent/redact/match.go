package redact

import "slices"

// matcher finds many words in a text at once, whatever the case of their ASCII
// letters, in time linear in the text's length (Aho and Corasick, "Efficient
// string matching", 1975).
type matcher struct {
	root  [256]int32
	nodes []matchNode
	words []needle
	steps int // transitions made
}

// needle is a word that is looked for.
type needle struct {
	text string // in lower case
	with string
	// name: it is a word of its own only; letters and digits around it make it
	// part of another.
	name bool
	// strong: it is a secret that can't be anything else.
	strong bool
	why    string
}

type matchNode struct {
	edges []edge // in order of their bytes
	fail  int32
	depth int32
	word  int32 // index of the word that ends here, -1 for none
	// shorter is the next node along the failure links at which a word ends.
	shorter int32
}

type edge struct {
	b  byte
	to int32
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

// newMatcher takes the words, the important ones first: of two equal ones the
// first counts.
func newMatcher(list []needle) *matcher {
	m := &matcher{nodes: []matchNode{{word: -1}}, words: list}
	for i, n := range list {
		at := int32(0)
		for j := 0; j < len(n.text); j++ {
			at = m.grow(at, n.text[j])
		}
		if at > 0 && m.nodes[at].word < 0 {
			m.nodes[at].word = int32(i)
		}
	}
	for _, e := range m.nodes[0].edges {
		m.root[e.b] = e.to
	}
	queue := []int32{}
	for _, e := range m.nodes[0].edges {
		queue = append(queue, e.to)
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		n := &m.nodes[at]
		if f := n.fail; m.nodes[f].word >= 0 {
			n.shorter = f
		} else {
			n.shorter = m.nodes[f].shorter
		}
		for _, e := range n.edges {
			m.nodes[e.to].fail = m.next(n.fail, e.b)
			queue = append(queue, e.to)
		}
	}
	return m
}

func (m *matcher) grow(at int32, b byte) int32 {
	i, ok := slices.BinarySearchFunc(m.nodes[at].edges, b, func(e edge, b byte) int { return int(e.b) - int(b) })
	if ok {
		return m.nodes[at].edges[i].to
	}
	to := int32(len(m.nodes))
	m.nodes = append(m.nodes, matchNode{depth: m.nodes[at].depth + 1, word: -1})
	m.nodes[at].edges = slices.Insert(m.nodes[at].edges, i, edge{b, to})
	return to
}

// next is where a byte leads.
func (m *matcher) next(at int32, b byte) int32 {
	for at != 0 {
		m.steps++
		edges := m.nodes[at].edges
		if len(edges) <= 4 {
			for _, e := range edges {
				if e.b == b {
					return e.to
				}
			}
		} else if i, ok := slices.BinarySearchFunc(edges, b, func(e edge, b byte) int { return int(e.b) - int(b) }); ok {
			return edges[i].to
		}
		at = m.nodes[at].fail
	}
	m.steps++
	return m.root[b]
}

// longestNames bounds how many words that end at one place are looked at.
const longestNames = 16

// each calls f for the words in a text, from the left, those that end at the
// same place from the longest. Words may overlap.
func (m *matcher) each(s string, f func(from, to int, n *needle)) {
	at := int32(0)
	for i := 0; i < len(s); i++ {
		at = m.next(at, lower(s[i]))
		end := at
		if m.nodes[end].word < 0 {
			end = m.nodes[end].shorter
		}
		for n := 0; end != 0 && n < longestNames; n++ {
			word := &m.words[m.nodes[end].word]
			from := i + 1 - len(word.text)
			if !word.name || alone(s, from, i+1) {
				f(from, i+1, word)
				break
			}
			end = m.nodes[end].shorter
		}
	}
}

// alone reports whether no letter or digit stands next to s[from:to].
func alone(s string, from, to int) bool {
	return (from == 0 || !isAlnum(s[from-1]) || !isAlnum(s[from])) && (to == len(s) || !isAlnum(s[to]) || !isAlnum(s[to-1]))
}
