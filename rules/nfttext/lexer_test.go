package nfttext

import (
	"fmt"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"tcp dport 22", "w:tcp w:dport n:22=22"},
		{"0x1f 010 08 18446744073709551616", "n:0x1f=31 n:010=8 w:08 w:18446744073709551616"},
		{"10.0.0.0/8 10.0.0.1-10.0.0.9", "w:10.0.0.0 / n:8=8 w:10.0.0.1 - w:10.0.0.9"},
		{"10.0.0.1:80-90", "w:10.0.0.1 : n:80=80 - n:90=90"},
		{"fe80::/10 ::1-::9 1:2:3:4:5:6:7:8 ::ffff:10.0.0.1 dead:beef::", "w:fe80:: / n:10=10 w:::1 - w:::9 w:1:2:3:4:5:6:7:8 w:::ffff:10.0.0.1 w:dead:beef::"},
		{"[::1]:80 sid[1]", "w:::1 : n:80=80 w:sid [ n:1=1 ]"},
		{"02:00:00:00:00:01 a:b:c:d:e:f", "w:02:00:00:00:00:01 w:a:b:c:d:e:f"},
		{"22:accept 80:10.0.0.1 0001:fff 1:2,", "n:22=22 : w:accept n:80=80 : w:10.0.0.1 w:0001:fff w:1:2 ,"},
		{"30s 1d2h3m4s5ms 10d 5ms 25m", "w:30s w:1d2h3m4s5ms w:10d w:5ms w:25m"},
		{"10 mbytes/second 10/second 10kbytes", "n:10=10 w:mbytes/second n:10=10 / w:second n:10=10 w:kbytes"},
		{`"eth0" eth* eth\* \* "a b#"`, `q:eth0 *:eth* *:eth\* *:\* q:a b#`},
		{"eth0.100 br-lan a/b _x .x . saddr.x", "w:eth0.100 w:br-lan w:a/b w:_x w:.x . w:saddr.x"},
		{"8021q 8021ad", "w:8021q w:8021ad"},
		{"a==b!=c<=d>=e<<f>>g<h>i", "w:a == w:b != w:c <= w:d >= w:e << w:f >> w:g < w:h > w:i"},
		{"{}()[]^&|!/-*@$=+;,:", "{ } ( ) [ ] ^ & | ! / - * @ $ = + ; , :"},
		{"a \\\n b # c\n# handle 5\nd # handle 7\n", "w:a w:b nl:0 nl:5 w:d nl:7"},
		{"a # handle 5 or so", "w:a"},
		{"\"a\nb\" c", "q:a\nb w:c"},
		{`"a`, `" w:a`},
		{"é\x00\xff`\r", "é \x00 \xff ` \r"},
	} {
		l := startOf(c.text)
		var got []string
		for tok := l.next(); tok.kind != end; tok = l.next() {
			switch tok.kind {
			case newline:
				got = append(got, fmt.Sprintf("nl:%d", tok.value))
			case number:
				got = append(got, fmt.Sprintf("n:%s=%d", tok.text, tok.value))
			case sign:
				got = append(got, tok.text)
			default:
				got = append(got, map[kind]string{word: "w:", quoted: "q:", wild: "*:"}[tok.kind]+tok.text)
			}
			line := strings.Count(c.text[:tok.offset], "\n") + 1
			column := tok.offset - strings.LastIndexByte(c.text[:tok.offset], '\n')
			if tok.line != line || tok.column != column {
				t.Errorf("%q: %q is at %d:%d, not %d:%d", c.text, tok.text, tok.line, tok.column, line, column)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q\n is   %q\n want %q", c.text, s, c.want)
		}
	}
}
