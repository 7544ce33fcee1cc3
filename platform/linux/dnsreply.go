//go:build linux

package linux

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/portwhy/portwhy/platform/host"
)

// newQuestion makes a query that asks for recursion.
func newQuestion(id uint16, name dnsmessage.Name, kind dnsmessage.Type) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	return b.Finish()
}

// parseReply reads an answer (RFC 1035, 4.1); ok is false if it is not one to
// this question.
func parseReply(packet []byte, id uint16, name dnsmessage.Name, kind dnsmessage.Type) (r dnsReply, ok bool) {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil || !header.Response || header.ID != id {
		return dnsReply{}, false
	}
	q, err := p.Question()
	switch {
	case errors.Is(err, dnsmessage.ErrSectionDone):
		// Some servers leave the question out when they refuse.
		if header.RCode == dnsmessage.RCodeSuccess {
			return dnsReply{}, false
		}
	case err != nil, q.Type != kind, q.Class != dnsmessage.ClassINET, !strings.EqualFold(q.Name.String(), name.String()):
		return dnsReply{}, false
	}
	switch header.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return dnsReply{failure: "not-found", detail: "the name does not exist (NXDOMAIN)", missing: true}, true
	case dnsmessage.RCodeServerFailure:
		return dnsReply{failure: "temporary", detail: "the name server failed (SERVFAIL)"}, true
	case dnsmessage.RCodeRefused:
		return dnsReply{failure: "refused", detail: "the name server refuses to answer (REFUSED)"}, true
	default:
		return dnsReply{failure: "temporary", detail: "the name server answered with " + strings.TrimPrefix(header.RCode.String(), "RCode")}, true
	}
	if header.Truncated {
		return dnsReply{truncated: true}, true
	}
	if err := p.SkipAllQuestions(); err != nil {
		return dnsReply{failure: "temporary", detail: "the name server's answer is malformed"}, true
	}
	r.addresses, err = answers(&p, name, kind)
	if err != nil {
		return dnsReply{failure: "temporary", detail: "the name server's answer is malformed"}, true
	}
	if len(r.addresses) == 0 {
		return dnsReply{failure: "not-found", detail: "the name exists, but has no address"}, true
	}
	return r, true
}

// answers collects the addresses that belong to the name, or to what it is an
// alias of.
func answers(p *dnsmessage.Parser, name dnsmessage.Name, kind dnsmessage.Type) ([]netip.Addr, error) {
	records := map[string][]netip.Addr{}
	alias := map[string]string{}
	for n := 0; n < 512; n++ {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return nil, err
		}
		owner := strings.ToLower(h.Name.String())
		switch {
		case h.Class != dnsmessage.ClassINET:
			err = p.SkipAnswer()
		case h.Type == dnsmessage.TypeCNAME:
			var c dnsmessage.CNAMEResource
			c, err = p.CNAMEResource()
			alias[owner] = strings.ToLower(c.CNAME.String())
		case h.Type == kind && kind == dnsmessage.TypeA:
			var a dnsmessage.AResource
			a, err = p.AResource()
			records[owner] = append(records[owner], netip.AddrFrom4(a.A))
		case h.Type == kind && kind == dnsmessage.TypeAAAA:
			var a dnsmessage.AAAAResource
			a, err = p.AAAAResource()
			records[owner] = append(records[owner], netip.AddrFrom16(a.AAAA).Unmap())
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			return nil, err
		}
	}
	current := strings.ToLower(name.String())
	for range maxAliases {
		if list := records[current]; len(list) > 0 {
			return list[:min(len(list), maxAddresses)], nil
		}
		next, ok := alias[current]
		if !ok {
			break
		}
		current = next
	}
	return nil, nil
}

// candidates are the names to ask for, in order (resolv.conf(5), search and
// ndots). A name that ends in a dot is complete.
func candidates(name string, conf resolvConf) []string {
	if complete, ok := strings.CutSuffix(name, "."); ok {
		return []string{complete}
	}
	var list []string
	asItIs := strings.Count(name, ".") >= conf.ndots
	if asItIs {
		list = append(list, name)
	}
	for _, domain := range conf.search {
		if domain == "" {
			continue
		}
		list = append(list, name+"."+domain)
	}
	if !asItIs {
		list = append(list, name)
	}
	return list
}

// nameServers are those that glibc asks: the first three, or if there is none,
// this host itself.
func nameServers(list []host.NameServer) []netip.Addr {
	var servers []netip.Addr
	for _, s := range list[:min(len(list), maxNameServers)] {
		servers = append(servers, s.Address)
	}
	if len(servers) == 0 {
		servers = append(servers, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return servers
}
