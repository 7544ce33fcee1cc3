// Package spelling tells which word somebody meant who mistyped it.
package spelling

import "slices"

// Near returns the word that is most like the given one, if one is like it at
// all: at most one letter in five is wrong, and one at least may be.
func Near(word string, words []string) (near string, ok bool) {
	if len(word) > maxWord {
		return "", false
	}
	best := 2 + len(word)/5
	for _, w := range slices.Sorted(slices.Values(words)) {
		if far := Distance(word, w); far < best {
			near, best, ok = w, far, true
		}
	}
	return near, ok
}

// maxWord is longer than any word that is meant.
const maxWord = 80

// Distance counts the letters to insert, delete, replace or swap with their
// neighbour to make b of a (optimal string alignment). Both are ASCII or short.
func Distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(last[j]+change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
