package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// SSH reads Port and ListenAddress of sshd_config(5) and of the files that it
// includes. An address without a port stands for each Port, or 22. A Port that
// is commented out is a disabled claim.
func SSH(main File, read Reader) []host.Claim {
	p := &ssh{includes: newIncludes(main, read), dir: path.Dir(main.Path)}
	p.file(main)
	return p.finish()
}

type ssh struct {
	*includes
	dir       string
	ports     []host.Claim
	addresses []host.Claim
	commented []host.Claim
}

func (p *ssh) file(file File) {
	matching := false
	file.lines(func(number int, line string) {
		if len(p.ports)+len(p.addresses)+len(p.commented) > maxClaims {
			return
		}
		body, commented := uncomment(line)
		// A keyword and its arguments may be parted by space or one "=".
		cut := strings.IndexAny(body, " \t=")
		if cut < 0 {
			return
		}
		key := strings.ToLower(body[:cut])
		switch key {
		case "match", "port", "listenaddress", "include":
		default:
			return
		}
		words := strings.Fields(strings.Replace(body[cut:], "=", " ", 1))
		if len(words) == 0 {
			return
		}
		switch argument := unquote(words[0]); key {
		case "match":
			matching = matching || !commented
		case "port":
			if n, ok := port(argument); ok && !matching {
				claim := file.claim("sshd", "Port", number, line)
				claim.Unit, claim.Port, claim.Address = "ssh.service", n, "*"
				if commented {
					// "#Port 22" in prose would go on; a setting has one argument.
					if len(words) == 1 {
						claim.Disabled = true
						p.commented = append(p.commented, claim)
					}
					return
				}
				p.ports = append(p.ports, claim)
			}
		case "listenaddress":
			address, n, ok := endpoint(argument)
			if !ok || matching || commented {
				return
			}
			claim := file.claim("sshd", "ListenAddress", number, line)
			claim.Unit, claim.Port, claim.Address = "ssh.service", n, address
			p.addresses = append(p.addresses, claim)
		case "include":
			if !commented && !matching {
				for _, word := range words {
					p.each(p.dir, unquote(word), p.file)
				}
			}
		}
	})
}

func (p *ssh) finish() []host.Claim {
	var claims []host.Claim
	used := len(p.addresses) == 0
	for _, address := range p.addresses {
		if address.Port != 0 {
			claims = append(claims, address)
			continue
		}
		used = true
		if len(p.ports) == 0 {
			address.Port = 22
			claims = append(claims, address)
		}
		for _, claim := range p.ports {
			claim.Address = address.Address
			claims = append(claims, claim)
			address.Port = claim.Port
			claims = append(claims, address)
			if len(claims) > maxClaims {
				return bound(claims)
			}
		}
	}
	if len(p.addresses) == 0 || !used {
		for _, claim := range p.ports {
			// Every ListenAddress has its own port: Port is not used.
			claim.Disabled = !used
			claims = append(claims, claim)
		}
	}
	return bound(append(claims, p.commented...))
}
