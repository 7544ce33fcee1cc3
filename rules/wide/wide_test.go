package wide

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func (n Num) big() *big.Int { return new(big.Int).SetBytes(n.Bytes(make([]byte, 16))) }

// The numbers compute as those of math/big do, modulo 2 to the 128.
func TestLikeBig(t *testing.T) {
	modulus := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Custom(func(t *rapid.T) Num { return Num{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")} })
		a, b, by := draw.Draw(t, "a"), draw.Draw(t, "b"), rapid.IntRange(0, 130).Draw(t, "by")
		same := func(what string, got Num, want *big.Int) {
			if w := new(big.Int).Mod(want, modulus); got.big().Cmp(w) != 0 {
				t.Fatalf("%s of %s and %s, %d: %s, want %s", what, a, b, by, got, w)
			}
		}
		same("right shift", a.Shr(by), new(big.Int).Rsh(a.big(), uint(by)))
		same("left shift", a.Shl(by), new(big.Int).Lsh(a.big(), uint(by)))
		same("and", a.And(b), new(big.Int).And(a.big(), b.big()))
		same("or", a.Or(b), new(big.Int).Or(a.big(), b.big()))
		same("xor", a.Xor(b), new(big.Int).Xor(a.big(), b.big()))
		same("not", a.Not(), new(big.Int).Sub(new(big.Int).Sub(modulus, big.NewInt(1)), a.big()))
		same("next", a.Next(), new(big.Int).Add(a.big(), big.NewInt(1)))
		same("difference", a.Sub(b), new(big.Int).Sub(a.big(), b.big()))
		same("ones", Ones(min(by, 128)), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(min(by, 128))), big.NewInt(1)))
		if got, want := a.Cmp(b), a.big().Cmp(b.big()); got != want {
			t.Fatalf("Cmp of %s and %s: %d, want %d", a, b, got, want)
		}
		if got, want := a.String(), a.big().String(); got != want {
			t.Fatalf("decimal %s, want %s", got, want)
		}
		if got, want := a.Hex(), a.big().Text(16); got != want {
			t.Fatalf("hexadecimal %s, want %s", got, want)
		}
		if back := FromBytes(a.Bytes(make([]byte, 16))); back != a {
			t.Fatalf("%s becomes %s", a, back)
		}
		if got := a.Swap(16).Swap(16); got != a {
			t.Fatalf("%s turned around twice is %s", a, got)
		}
	})
}
