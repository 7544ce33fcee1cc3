//go:build linux

package main

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// runDNS is a name server that knows the given addresses and nothing else.
func runDNS(fs *flag.FlagSet, args []string) error {
	answers := map[string]netip.Addr{}
	fs.Func("answer", "NAME=ADDR", func(v string) error {
		name, addr, _ := strings.Cut(v, "=")
		ip, err := netip.ParseAddr(addr)
		answers[name+"."] = ip
		return err
	})
	if err := fs.Parse(args); err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", fs.Arg(0))
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply, err := answerDNS(buf[:n], answers); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return ready()
}

func answerDNS(query []byte, answers map[string]netip.Addr) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	if len(m.Questions) != 1 {
		return nil, fmt.Errorf("%d questions", len(m.Questions))
	}
	m.Response, m.Authoritative, m.RecursionAvailable = true, true, true
	m.Additionals = nil
	q := m.Questions[0]
	ip, known := answers[q.Name.String()]
	h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
	switch {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA && ip.Is4():
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}}}
	case q.Type == dnsmessage.TypeAAAA && ip.Is6():
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}}}
	}
	return m.Pack()
}
