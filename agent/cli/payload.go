package cli

import (
	"strconv"
	"strings"
)

// maxPayload is what fits into one UDP datagram over IPv4: RFC 768, RFC 791.
const maxPayload = 65507

// unescape understands Go's escapes in a payload.
func unescape(in string) ([]byte, error) {
	if in == "" {
		return nil, nil
	}
	var out []byte
	for rest := in; rest != ""; {
		if rest[0] != '\\' {
			end := strings.IndexByte(rest, '\\')
			if end < 0 {
				end = len(rest)
			}
			out = append(out, rest[:end]...)
			rest = rest[end:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return nil, usage("--payload: byte %d: not an escape such as \\n, \\\\ or \\x00", len(in)-len(rest)+1)
		}
		if multibyte {
			out = append(out, string(r)...)
		} else {
			out = append(out, byte(r))
		}
		rest = tail
	}
	if len(out) > maxPayload {
		return nil, usage("--payload has %d bytes; a datagram holds %d", len(out), maxPayload)
	}
	return out, nil
}
