package windows

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// excludedMax bounds the ranges: there are no more ports.
const excludedMax = 65536

// parseExcluded reads what netsh int ipv4 show excludedportrange prints: a
// table of first and last port, with an asterisk after those that were
// administered. The words around it are translated, so a line counts if it has
// two numbers and nothing else.
func parseExcluded(b []byte) ([]host.PortRange, error) {
	var list []host.PortRange
	number := 0
	for line := range bytes.Lines(b) {
		number++
		words := strings.Fields(string(line))
		administered := len(words) == 3 && words[2] == "*"
		if len(words) != 2 && !administered || !digits(words[0]) || !digits(words[1]) {
			continue
		}
		first, err := strconv.ParseUint(words[0], 10, 16)
		last, errLast := strconv.ParseUint(words[1], 10, 16)
		if err != nil || errLast != nil || last < first {
			return nil, fmt.Errorf("excluded ports, line %d: %q to %q is no range", number, host.Clean([]byte(words[0]), 20), host.Clean([]byte(words[1]), 20))
		}
		if len(list) == excludedMax {
			return nil, fmt.Errorf("excluded ports: more than %d ranges", excludedMax)
		}
		list = append(list, host.PortRange{First: uint16(first), Last: uint16(last), Administered: administered})
	}
	return list, nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
