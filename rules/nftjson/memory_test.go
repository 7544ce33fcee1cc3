package nftjson_test

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/nftjson"
)

// A long ruleset is read rule by rule: what is held in the end, and so what is
// ever held, is of the size of the document.
func TestMemory(t *testing.T) {
	const count = 20000
	size := 0
	r, w := io.Pipe()
	go func() {
		write := func(format string, args ...any) {
			n, _ := fmt.Fprintf(w, format, args...)
			size += n
		}
		write(`{"nftables": [{"table": {"family": "inet", "name": "t"}}, {"chain": {"family": "inet", "table": "t", "name": "c"}}`)
		for i := range count {
			write(`, {"rule": {"family": "inet", "table": "t", "chain": "c", "handle": %d, "expr": [`+
				`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.0.%d.%d"}}, `+
				`{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": %d}}, `+
				`{"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]}}`, i+2, i>>8, i&255, i)
		}
		write("]}")
		w.Close()
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	set, err := nftjson.Parse("f", r, compile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := len(set.Tables[0].Chains[0].Rules); got != count {
		t.Errorf("%d rules", got)
	}
	if held := int(after.HeapAlloc) - int(before.HeapAlloc); held > size*3/2 {
		t.Errorf("%d bytes are held of a document of %d", held, size)
	}
}
