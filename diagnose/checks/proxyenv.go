package checks

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
)

var proxyEnv = &diagnose.Check{
	ID: "proxy-environment", Doc: "whether HTTP_PROXY and its kin catch the target, so that clients ask a proxy instead",
	Codes: []string{"proxy-environment"},
	For:   diagnose.AskConnect,
	Run:   runProxyEnv,
}

func runProxyEnv(p *diagnose.Pass) error {
	scheme, _, _ := strings.Cut(p.Target.Input, "://")
	if p.Target.Scheme != "http" && p.Target.Scheme != "https" {
		p.Skip("not HTTP")
		return nil
	}
	resolver, err := p.Host.Resolver(p.Ctx)
	if err != nil {
		return err
	}
	key, value := proxyFor(strings.ToLower(scheme), resolver.Proxy)
	if value == "" {
		p.OK("no proxy is set")
		return nil
	}
	noProxy := resolver.Proxy["no_proxy"]
	if noProxy == "" {
		noProxy = resolver.Proxy["NO_PROXY"]
	}
	if excepted(noProxy, p.Target.Host, p.Flow.Addr()) {
		p.OK("no_proxy excepts %s", p.Target.Host)
		return nil
	}
	f := diagnose.Finding{Code: "proxy-environment", Culprit: &diagnose.Culprit{Kind: "config", Key: key, Value: value},
		Title:    fmt.Sprintf("%s=%s catches %s: clients that obey it ask the proxy, this probe did not", key, value, p.Target.Host),
		Evidence: []diagnose.Evidence{{Source: "environment", What: key, Value: value}, {Source: "environment", What: "no_proxy", Value: noProxy}}}
	p.OK("%s", f.Title)
	if a := p.Flow.Addr(); a.IsValid() && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()) {
		p.Warn(f)
	} else {
		p.Note(f)
	}
	return nil
}

// proxyFor picks the variable that curl and most libraries obey; HTTP_PROXY in
// capitals is obeyed by most but not by curl (httpoxy).
func proxyFor(scheme string, env map[string]string) (key, value string) {
	keys := []string{"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}
	if scheme == "https" || scheme == "wss" {
		keys = []string{"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}
	}
	for _, k := range keys {
		if v := env[k]; v != "" {
			if u, err := url.Parse(v); err == nil && u.User != nil {
				u.User = nil
				v = u.String()
			}
			return k, v
		}
	}
	return "", ""
}

// excepted reports whether no_proxy names the host: exact names, domain
// suffixes, addresses and prefixes in CIDR form, * for all.
func excepted(noProxy, name string, addr netip.Addr) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, item := range strings.FieldsFunc(noProxy, func(r rune) bool { return r == ',' || r == ' ' }) {
		item = strings.ToLower(strings.TrimSuffix(item, "."))
		if item == "*" || item == name {
			return true
		}
		suffix := strings.TrimPrefix(strings.TrimPrefix(item, "*"), ".")
		if suffix != "" && strings.HasSuffix(name, "."+suffix) {
			return true
		}
		if prefix, err := netip.ParsePrefix(item); err == nil && prefix.Contains(addr) {
			return true
		}
		if a, err := netip.ParseAddr(strings.Trim(item, "[]")); err == nil && a == addr && name == addr.String() {
			return true
		}
	}
	return false
}
