package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Nginx reads the listen directives from nginx.conf and what it includes.
// A server of the http module without one listens on port 80
// (ngx_http_core_module, "listen"); the claim is then on the line of the block.
// Commented listen directives come as disabled claims.
func Nginx(main File, read Reader) []host.Claim {
	p := &nginx{includes: newIncludes(main, read), dir: path.Dir(main.Path)}
	p.file(main, nil)
	return bound(p.claims)
}

// NginxSite reads one file that nginx includes from its http block; for files
// that are not included, as those in sites-available, so all its claims are
// disabled.
func NginxSite(site File) []host.Claim {
	p := &nginx{includes: newIncludes(site, nil), dir: path.Dir(site.Path)}
	p.file(site, []string{"http"})
	for i := range p.claims {
		p.claims[i].Disabled = true
	}
	return bound(p.claims)
}

type nginx struct {
	*includes
	dir    string
	claims []host.Claim
}

// nginxServer is an open server block.
type nginxServer struct {
	line    int
	text    string
	decided bool // it has a listen, or an include that may hold one
}

// file reads one file that stands within the given blocks.
func (p *nginx) file(file File, outer []string) {
	blocks := append([]string(nil), outer...)
	servers := []nginxServer{}
	lexNginx(file.Data, func(t nginxToken) {
		if len(p.claims) > maxClaims {
			return
		}
		text := lineAt(file.Data, t.start)
		if t.comment != "" {
			p.comment(file, t)
			return
		}
		if t.close {
			if n := len(blocks); n > len(outer) {
				if blocks[n-1] == "server" && len(servers) > 0 {
					last := servers[len(servers)-1]
					servers = servers[:len(servers)-1]
					if !last.decided && n > 1 && blocks[n-2] == "http" {
						claim := file.claim("nginx", "server", last.line, last.text)
						claim.Unit, claim.Address, claim.Port = "nginx.service", "*", 80
						p.claims = append(p.claims, claim)
					}
				}
				blocks = blocks[:n-1]
			}
			return
		}
		if len(t.words) == 0 {
			if t.open && len(blocks) < 64 {
				blocks = append(blocks, "")
			}
			return
		}
		switch {
		case t.open:
			if len(blocks) < 64 {
				blocks = append(blocks, t.words[0])
				if t.words[0] == "server" {
					servers = append(servers, nginxServer{line: t.line, text: text})
				}
			}
		case t.words[0] == "listen" && len(t.words) > 1:
			if len(servers) > 0 {
				servers[len(servers)-1].decided = true
			}
			p.listen(file, t.line, text, t.words[1:], false)
		case t.words[0] == "include" && len(t.words) == 2:
			if len(servers) > 0 {
				servers[len(servers)-1].decided = true
			}
			p.each(p.dir, t.words[1], func(inner File) { p.file(inner, blocks) })
		}
	})
}

// listen reads the arguments of a listen directive.
func (p *nginx) listen(file File, line int, text string, args []string, disabled bool) {
	claim := file.claim("nginx", "listen", line, text)
	claim.Unit, claim.Disabled = "nginx.service", disabled
	for _, arg := range args[1:] {
		if arg == "udp" || arg == "quic" {
			claim.Network = "udp"
		}
	}
	where := args[0]
	if name, ok := strings.CutPrefix(where, "unix:"); ok {
		claim.Network, claim.Path = "unix", host.Clean([]byte(name), 256)
		p.claims = append(p.claims, claim)
		return
	}
	// A range of ports is allowed since 1.15.10: 10.0.0.1:8000-8010.
	head, last := "", where
	if i := strings.LastIndexByte(where, ':'); i >= 0 && !strings.HasSuffix(where, "]") {
		head, last = where[:i+1], where[i+1:]
	}
	if ports := portRange(last); len(ports) > 1 {
		address, _, ok := endpoint(head + "1")
		for _, n := range ports {
			if ok {
				claim.Address, claim.Port = address, n
				p.claims = append(p.claims, claim)
			}
		}
		return
	}
	address, number, ok := endpoint(where)
	if !ok {
		return
	}
	if number == 0 {
		number = 80
	}
	claim.Address, claim.Port = address, number
	p.claims = append(p.claims, claim)
}

// comment takes a listen directive that is commented out for what it could be.
func (p *nginx) comment(file File, t nginxToken) {
	body, found := strings.CutSuffix(strings.TrimSpace(strings.TrimLeft(t.comment, "#")), ";")
	if words := strings.Fields(body); found && len(words) > 1 && words[0] == "listen" {
		p.listen(file, t.line, t.comment, words[1:], true)
	}
}

// nginxToken is a directive (words, ended by a semicolon or an opened block),
// a closed block or a comment.
type nginxToken struct {
	line    int // of its first word
	start   int // offset of it
	words   []string
	open    bool
	close   bool
	comment string
}

// lexNginx splits nginx's syntax as ngx_conf_read_token does: words are parted
// by space, quotes hold words together, a backslash takes the next byte as it is.
func lexNginx(data []byte, f func(nginxToken)) {
	const maxWords = 64
	var current nginxToken
	var word []byte
	line, inWord := 1, false
	begin := func(i int) {
		if !inWord && len(current.words) == 0 {
			current.line, current.start = line, i
		}
		inWord = true
	}
	end := func() {
		if inWord && len(current.words) < maxWords {
			current.words = append(current.words, string(word))
		}
		word, inWord = word[:0], false
	}
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\n' || c == ' ' || c == '\t' || c == '\r':
			end()
			if c == '\n' {
				line++
			}
		case c == ';' || c == '{':
			end()
			if len(current.words) == 0 {
				current.line, current.start = line, i
			}
			current.open = c == '{'
			f(current)
			current = nginxToken{}
		case c == '}' && !inWord:
			f(nginxToken{line: line, start: i, close: true})
			current = nginxToken{}
		case c == '#' && !inWord:
			from := i
			for i+1 < len(data) && data[i+1] != '\n' {
				i++
			}
			if i-from < maxLine {
				f(nginxToken{line: line, start: from, comment: string(data[from : i+1])})
			}
		case (c == '"' || c == '\'') && !inWord:
			begin(i)
			for i++; i < len(data) && data[i] != c; i++ {
				if data[i] == '\\' && i+1 < len(data) {
					i++
				}
				if data[i] == '\n' {
					line++
				}
				word = appendWord(word, data[i])
			}
			end()
		case c == '$' && i+1 < len(data) && data[i+1] == '{':
			// A variable's braces open no block.
			begin(i)
			for ; i < len(data) && data[i] != '}' && data[i] != '\n'; i++ {
				word = appendWord(word, data[i])
			}
			if i < len(data) && data[i] == '\n' {
				i--
			}
		case c == '\\' && i+1 < len(data):
			begin(i)
			i++
			if data[i] == '\n' {
				line++
			}
			word = appendWord(word, data[i])
		default:
			begin(i)
			word = appendWord(word, c)
		}
	}
}

func appendWord(word []byte, c byte) []byte {
	if len(word) < maxLine {
		word = append(word, c)
	}
	return word
}

// lineAt returns the whole line around an offset.
func lineAt(data []byte, offset int) string {
	from, to := offset, offset
	for from > 0 && data[from-1] != '\n' && offset-from < maxText {
		from--
	}
	for to < len(data) && data[to] != '\n' && to-offset < maxText {
		to++
	}
	return string(data[from:to])
}
