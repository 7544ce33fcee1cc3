//go:build linux

package linux

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestInodeSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Some close together, some anywhere.
		number := rapid.OneOf(rapid.Uint64Range(4000, 5000), rapid.Uint64Range(4000, 4000+2*inodeSpan), rapid.Uint64())
		inodes := rapid.SliceOf(number).Draw(t, "inodes")
		s := newInodeSet(inodes)
		for _, n := range append(rapid.SliceOf(number).Draw(t, "asked"), append(inodes, 0, 1<<64-1)...) {
			if want := n != 0 && slices.Contains(inodes, n); s.has(n) != want {
				t.Fatalf("has(%d) of %v: %v, want %v", n, inodes, s.has(n), want)
			}
		}
	})
}
