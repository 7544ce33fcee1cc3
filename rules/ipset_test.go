package rules

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// Options hold what was put in, in JSON, too.
func TestEntryOptions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.StringMatching(`[a-z]{1,4}`), rapid.StringMatching(`[ -~]{0,6}`)).Draw(t, "options")
		o := EntryOptions("")
		for name := range want {
			o = o.With(name, "first").With(name, want[name])
		}
		var element IPSetElement
		if rapid.Bool().Draw(t, "nomatch") {
			o, want["nomatch"] = o.With("nomatch", ""), ""
		}
		b, err := json.Marshal(&IPSetElement{Entry: "e", Options: o})
		if err == nil {
			err = json.Unmarshal(b, &element)
		}
		back := element.Options
		if _, exception := want["nomatch"]; err != nil || exception != element.NoMatch() || bytes.Contains(b, []byte(`"nomatch"`)) || !maps.Equal(o.Map(), want) || !maps.Equal(back.Map(), want) {
			t.Fatalf("%q and %q of %q: %v", o, back, want, err)
		}
		for name, value := range want {
			if got, there := o.Get(name); !there || got != value {
				t.Fatalf("%s is %q, %v", name, got, there)
			}
		}
		if v, there := o.Get("none!"); there || v != "" {
			t.Fatalf("there is %q", v)
		}
	})
}
