package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Apache reads Listen directives from httpd.conf or apache2.conf and what it
// includes. A Listen within an IfModule or IfDefine section is disabled if that
// module is not loaded, or the name not defined, by any of the files; a module
// that is compiled in is not known here. A VirtualHost opens no port; if no Listen does
// for its port, it is a disabled claim, since clients were meant to reach it.
func Apache(main File, read Reader, root string) []host.Claim {
	p := newApache(main, read, root)
	p.file(main, nil)
	return p.finish()
}

// ApacheSite reads one file that Apache does not include, as those in
// sites-available; all its claims are disabled.
func ApacheSite(site File) []host.Claim {
	p := newApache(site, nil, "/")
	p.file(site, nil)
	claims := p.finish()
	for i := range claims {
		claims[i].Disabled = true
	}
	return claims
}

type apache struct {
	*includes
	root    string // ServerRoot, to which paths are relative
	unit    string
	defined map[string]bool // modules as "ssl_module" and "mod_ssl.c", names
	listens []apacheListen
	hosts   []host.Claim
}

// apacheListen is a claim and the conditions of the sections around it.
type apacheListen struct {
	claim      host.Claim
	conditions []string
}

func newApache(main File, read Reader, root string) *apache {
	unit := "apache2.service"
	if strings.HasPrefix(main.Path, "/etc/httpd/") {
		unit = "httpd.service"
	}
	return &apache{includes: newIncludes(main, read), root: root, unit: unit, defined: map[string]bool{}}
}

func (p *apache) file(file File, outer []string) {
	sections := append([]string(nil), outer...)
	joined, start := "", 0
	file.lines(func(number int, line string) {
		if len(p.listens)+len(p.hosts) > maxClaims {
			return
		}
		// A line that ends in a backslash goes on in the next.
		if joined == "" {
			start = number
		}
		if body, more := strings.CutSuffix(line, `\`); more && len(joined) < maxLine {
			joined += body + " "
			return
		}
		line, joined = joined+line, ""
		body, commented := uncomment(line)
		if rest, ok := strings.CutPrefix(body, "</"); ok && !commented {
			if strings.HasPrefix(strings.ToLower(rest), "if") && len(sections) > len(outer) {
				sections = sections[:len(sections)-1]
			}
			return
		}
		key, _ := keyword(body)
		if key = strings.ToLower(key); commented && key != "listen" {
			return
		}
		words := strings.Fields(body)
		if len(words) < 2 {
			return
		}
		argument := unquote(strings.TrimSuffix(words[1], ">"))
		switch key {
		case "<ifmodule", "<ifdefine", "<if", "<ifversion", "<ifdirective", "<iffile", "<ifsection":
			condition := ""
			if key == "<ifmodule" || key == "<ifdefine" {
				condition = argument
			}
			if len(sections) < 64 {
				sections = append(sections, condition)
			}
		case "listen":
			p.listen(file, start, line, argument, sections, commented)
		case "<virtualhost":
			for _, word := range words[1:] {
				p.virtualHost(file, start, line, unquote(strings.TrimSuffix(word, ">")))
			}
		case "loadmodule":
			p.defined[argument] = true
			// LoadModule ssl_module … is asked for as mod_ssl.c too.
			p.defined["mod_"+strings.TrimSuffix(argument, "_module")+".c"] = true
		case "define":
			p.defined[argument] = true
		case "serverroot":
			if path.IsAbs(argument) && !strings.Contains(argument, "$") {
				p.root = argument
			}
		case "include", "includeoptional":
			p.each(p.root, argument, func(inner File) { p.file(inner, sections) })
		}
	})
}

func (p *apache) listen(file File, number int, line, argument string, sections []string, commented bool) {
	address, n, ok := endpoint(argument)
	if !ok || n == 0 {
		return
	}
	claim := file.claim("apache", "Listen", number, line)
	claim.Unit, claim.Address, claim.Port, claim.Disabled = p.unit, address, n, commented
	var conditions []string
	for _, section := range sections {
		if section != "" {
			conditions = append(conditions, section)
		}
	}
	p.listens = append(p.listens, apacheListen{claim, conditions})
}

func (p *apache) virtualHost(file File, number int, line, argument string) {
	address, n, ok := endpoint(argument)
	if !ok || n == 0 {
		return
	}
	claim := file.claim("apache", "VirtualHost", number, line)
	claim.Unit, claim.Address, claim.Port, claim.Disabled = p.unit, address, n, true
	p.hosts = append(p.hosts, claim)
}

// finish decides what depends on other files.
func (p *apache) finish() []host.Claim {
	var claims []host.Claim
	opened := map[uint16]bool{}
	for _, l := range p.listens {
		for _, condition := range l.conditions {
			name, not := strings.CutPrefix(condition, "!")
			if p.defined[name] == not {
				l.claim.Disabled = true
			}
		}
		if !l.claim.Disabled {
			opened[l.claim.Port] = true
		}
		claims = append(claims, l.claim)
	}
	for _, claim := range p.hosts {
		if !opened[claim.Port] {
			claims = append(claims, claim)
		}
	}
	return bound(claims)
}
