package nfttext

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// The objects of conntrack are read as the kernel tells them.
func TestObjectsOfConntrack(t *testing.T) {
	text, err := os.ReadFile("../text/testdata/tables/objects.nft")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Parse("objects.nft", string(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	tcp := []uint32{120, 60, 100, 120, 4, 30, 120, 4, 120, 300, 300}
	want := map[string]rules.Expr{
		"ftp-standard": &rules.Helper{Kind: "ftp", L3: rules.IP, L4: 6},
		"short":        &rules.Timeout{L3: rules.IP, L4: 6, Seconds: tcp},
		"datagram":     &rules.Timeout{L3: rules.IP6, L4: 17, Seconds: []uint32{30, 33}},
		"passive":      &rules.Expectation{L3: rules.IP, L4: 6, Port: 9876, TimeoutMS: 123000, Size: 12},
	}
	for _, o := range set.Tables[0].Objects {
		if w := want[o.Name]; w != nil && !reflect.DeepEqual(o.Expr, w) {
			t.Errorf("%s: %+v, want %+v", o.Name, o.Expr, w)
		}
		delete(want, o.Name)
		if o.Name == "said" && o.Comment == "" {
			t.Error("the comment is lost")
		}
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
	for _, bad := range []string{
		`table ip t { ct timeout o { protocol udp; policy = { established : 3 }; }; }`,
		`table ip t { ct helper o { type "ftp" protocol nonsense; }; }`,
		`table ip t { ct helper o { type "ftp" protocol tcp; l3proto nonsense; }; }`,
	} {
		if _, err := Parse("bad", bad, Options{}); err == nil || !strings.Contains(err.Error(), "bad:1") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
