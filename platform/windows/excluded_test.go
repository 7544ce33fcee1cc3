package windows

import (
	"slices"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

const english = "\r\nProtocol tcp Port Exclusion Ranges\r\n\r\nStart Port    End Port      \r\n----------    --------      \r\n      5357        5357      \r\n     50000       50059     *\r\n\r\n* - Administered port exclusions.\r\n\r\n"

// In other languages the words differ; \x81 is an umlaut of code page 850.
const german = "\r\nPortausschlussbereiche f\x81r Protokoll \"tcp\"\r\n\r\nStartport     Endport\r\n----------    --------\r\n     49152       49251\r\n\r\n* - Verwaltete Portausschl\x81sse.\r\n"

func TestParseExcluded(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []host.PortRange
	}{
		{english, []host.PortRange{{First: 5357, Last: 5357}, {First: 50000, Last: 50059, Administered: true}}},
		{german, []host.PortRange{{First: 49152, Last: 49251}}},
		{"", nil},
		{"1 2 3\n1 2 x\n1\n+1 2\n", nil},
	} {
		got, err := parseExcluded([]byte(c.in))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%.40q: %+v, %v", c.in, got, err)
		}
	}
	for _, bad := range []string{"1 65536", "65536 1", "10 9", "99999999999999999999 1"} {
		if got, err := parseExcluded([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func FuzzParseExcluded(f *testing.F) {
	f.Add([]byte(english))
	f.Add([]byte(german))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseExcluded(b)
		for _, r := range list {
			if err != nil || r.First > r.Last {
				t.Errorf("%+v, %v", r, err)
			}
		}
	})
}
