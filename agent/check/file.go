package check

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/document"
)

// The bounds of a file. Its size is bounded by package document.
const (
	maxChecks  = 10_000
	maxSources = 64
	maxName    = 200
	maxRetry   = 100
	maxDevice  = 15 // IFNAMSIZ, without its NUL
	minTimeout = time.Millisecond
	maxTimeout = 10 * time.Minute
)

// FileSchema names the form of a file of checks.
const FileSchema = "portwhy.checks/v1"

// Read reads a file of checks; see the package's documentation for its form. Its
// errors name file, line, column and what was expected.
func Read(file string, in io.Reader) ([]Spec, error) {
	root, err := document.Read(file, in)
	if err != nil {
		return nil, err
	}
	top, err := root.Fields("version", "schema", "defaults", "checks")
	if err != nil {
		return nil, err
	}
	if err := knownVersion(root, top); err != nil {
		return nil, err
	}
	r := reader{file: file}
	if err := r.defaults(top["defaults"]); err != nil {
		return nil, err
	}
	list, err := top["checks"].List()
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, root.Errorf("there are no checks: expected a list under \"checks\"")
	case len(list) > maxChecks:
		return nil, top["checks"].Errorf("there are %d checks; %d are the most", len(list), maxChecks)
	}
	specs := make([]Spec, len(list))
	for i, n := range list {
		if specs[i], err = r.check(n); err != nil {
			return nil, err
		}
	}
	return specs, nil
}

// knownVersion looks at version or schema, of which one has to be there.
func knownVersion(root document.Node, top map[string]document.Node) error {
	version, schema := top["version"], top["schema"]
	if version.IsZero() && schema.IsZero() {
		return root.Errorf("expected \"version: 1\"")
	}
	if !version.IsZero() {
		if _, err := version.Int(1, 1); err != nil {
			return err
		}
	}
	if !schema.IsZero() {
		if _, err := schema.OneOf(FileSchema); err != nil {
			return err
		}
	}
	return nil
}

type reader struct {
	file    string
	timeout time.Duration
	retry   int
}

func (r *reader) defaults(n document.Node) error {
	r.retry = -1
	f, err := n.Fields("timeout", "retry")
	if err != nil {
		return err
	}
	if !f["timeout"].IsZero() {
		if r.timeout, err = timeout(f["timeout"]); err != nil {
			return err
		}
	}
	if !f["retry"].IsZero() {
		r.retry, err = f["retry"].Int(0, maxRetry)
	}
	return err
}

func timeout(n document.Node) (time.Duration, error) {
	d, err := n.Duration()
	if err == nil && (d < minTimeout || d > maxTimeout) {
		err = n.Errorf("expected a time from %v to %v, found %v", minTimeout, maxTimeout, d)
	}
	return d, err
}

// check reads one check. A word alone is a target that must be reachable.
func (r *reader) check(n document.Node) (Spec, error) {
	s := Spec{File: r.file, MinDays: -1, Queue: -1, Timeout: r.timeout, Retry: r.retry}
	s.Line, s.Column = n.Position()
	if !n.IsMap() {
		if n.IsList() {
			return s, n.Errorf("expected a target, or keys with values, found a list")
		}
		s.Expect = Reachable
		return s, s.aim(n)
	}
	f, err := n.Fields("name", "target", "expect", "answered_by", "tls", "latency", "queue", "bound_by", "unreachable_from", "reachable_from", "firewall", "plan", "timeout", "retry")
	if err != nil {
		return s, err
	}
	for _, part := range []struct {
		key  string
		read func(document.Node) error
	}{
		{"name", func(n document.Node) error { s.Name, err = name(n); return err }},
		{"target", s.aim},
		{"expect", func(n document.Node) error {
			word, err := n.OneOf(string(Reachable), string(Refused), string(Closed))
			s.Expect = Expect(word)
			return err
		}},
		{"answered_by", func(n document.Node) error { s.AnsweredBy, err = who(n); return err }},
		{"bound_by", func(n document.Node) error { s.BoundBy, err = who(n); return err }},
		{"tls", s.tls},
		{"latency", func(n document.Node) error { s.Latency, err = timeout(n); return err }},
		{"queue", func(n document.Node) error { s.Queue, err = percent(n); return err }},
		{"unreachable_from", func(n document.Node) error { s.UnreachableFrom, err = networks(n); return err }},
		{"reachable_from", func(n document.Node) error { s.ReachableFrom, err = networks(n); return err }},
		{"firewall", func(n document.Node) error { s.Firewall, err = r.saved(n); return err }},
		{"plan", func(n document.Node) error { s.Plan, err = r.planned(n); return err }},
		{"timeout", func(n document.Node) error { s.Timeout, err = timeout(n); return err }},
		{"retry", func(n document.Node) error { s.Retry, err = n.Int(0, maxRetry); return err }},
	} {
		if v, given := f[part.key]; given {
			if v.IsZero() {
				return s, v.Errorf("%s has no value", part.key)
			}
			if err := part.read(v); err != nil {
				return s, err
			}
		}
	}
	return s, s.fits(n, f)
}

// fits looks at what goes together.
func (s *Spec) fits(n document.Node, f map[string]document.Node) error {
	kind := s.kind()
	if kind == kindConnect && s.Expect == "" {
		s.Expect = Reachable
	}
	switch {
	case s.Target == nil && kind != kindFirewall && kind != kindPlan:
		return n.Errorf("expected a \"target\" to ask about, or \"firewall\" or \"plan\"")
	case s.Target != nil && (kind == kindFirewall || kind == kindPlan):
		return f["target"].Errorf("%s is a check of its own: it has no target", kind)
	case kind != kindConnect && s.Target != nil && s.Target.Network == "unix":
		return f["target"].Errorf("a unix socket has no port, and no firewall before it")
	}
	if kind == kindFrom && (s.Target.Host == "localhost" && !s.Target.AnyHost || s.Target.Addr.IsLoopback()) {
		return f["target"].Errorf("from outside nothing gets to loopback: write :%d for all addresses of this host", s.Target.Port)
	}
	asks := map[string][]string{kindConnect: {"expect", "answered_by", "tls", "latency", "queue"}, kindBound: {"bound_by"},
		kindFrom: {"unreachable_from", "reachable_from"}, kindFirewall: {"firewall"}, kindPlan: {"plan"}}
	for other, keys := range asks {
		for _, key := range keys {
			if v := f[key]; other != kind && !v.IsZero() {
				return v.Errorf("%s doesn't go with %s: make it a check of its own", key, strings.Join(asks[kind], ", "))
			}
		}
	}
	if kind == kindConnect && s.Expect != Reachable {
		for _, key := range asks[kindConnect][1:] {
			if v := f[key]; !v.IsZero() {
				return v.Errorf("%s can't hold where nobody may answer (expect: %s)", key, s.Expect)
			}
		}
	}
	if v := f["tls"]; !v.IsZero() && s.Target.Scheme != "tls" && s.Target.Scheme != "https" {
		return v.Errorf("the target doesn't speak TLS: write it as https://HOST or tls://HOST:PORT")
	}
	if v := f["queue"]; !v.IsZero() && s.Target.Network != "tcp" {
		return v.Errorf("only TCP has a queue of connections that wait")
	}
	return nil
}

func (s *Spec) aim(n document.Node) error {
	text, err := n.Text()
	if err != nil {
		return err
	}
	t, err := diagnose.ParseTarget(text)
	if err != nil {
		return n.Errorf("%w", err)
	}
	s.Target = &t
	return nil
}

func name(n document.Node) (string, error) {
	text, err := n.Text()
	if err == nil && (len(text) > maxName || strings.TrimSpace(text) == "") {
		err = n.Errorf("expected a name of up to %d bytes", maxName)
	}
	return text, err
}

func who(n document.Node) (Who, error) {
	var w Who
	f, err := n.Fields("process", "unit", "user", "container")
	if err != nil {
		return w, err
	}
	for key, to := range map[string]*string{"process": &w.Process, "unit": &w.Unit, "user": &w.User, "container": &w.Container} {
		if v, given := f[key]; given {
			if *to, err = name(v); err != nil {
				return w, err
			}
		}
	}
	if w.IsZero() {
		return w, n.Errorf("expected process, unit, user or container")
	}
	return w, nil
}

func (s *Spec) tls(n document.Node) error {
	f, err := n.Fields("name", "days")
	if err != nil {
		return err
	}
	if v := f["name"]; !v.IsZero() {
		if s.TLSName, err = name(v); err != nil {
			return err
		}
	}
	if v := f["days"]; !v.IsZero() {
		s.MinDays, err = v.Int(0, 10_000)
	}
	return err
}

// percent reads 80%, or 80.
func percent(n document.Node) (float64, error) {
	text, err := n.Text()
	if err != nil {
		return 0, err
	}
	p, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "%")), 64)
	if err != nil || !(p >= 0 && p <= 100) {
		return 0, n.Errorf("expected a share from 0%% to 100%%, found %q", text)
	}
	return p, nil
}

func networks(n document.Node) ([]Sources, error) {
	list, err := n.List()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || len(list) > maxSources {
		return nil, n.Errorf("expected from 1 to %d addresses or networks", maxSources)
	}
	found := make([]Sources, len(list))
	for i, v := range list {
		text, err := v.Text()
		if err != nil {
			return nil, err
		}
		if found[i], err = ParseSources(text); err != nil {
			return nil, v.Errorf("%w", err)
		}
	}
	return found, nil
}

// ParseSources reads an address or a network, with a device behind a % if its
// packets come in there: 10.0.0.9, 10.0.0.0/8, 192.0.2.0/24%eth0.
func ParseSources(text string) (Sources, error) {
	plain, device, named := strings.Cut(text, "%")
	s := Sources{Device: device}
	if named && (device == "" || len(device) > maxDevice || strings.ContainsAny(device, "/% \t\n\f\r")) {
		return s, badSources(text)
	}
	if a, err := netip.ParseAddr(plain); err == nil {
		a = a.Unmap()
		s.Prefix = netip.PrefixFrom(a, a.BitLen())
		return s, nil
	}
	p, err := netip.ParsePrefix(plain)
	if err != nil || p.Addr().Is4In6() || p != p.Masked() {
		return s, badSources(text)
	}
	s.Prefix = p
	return s, nil
}

type badSources string

func (b badSources) Error() string {
	text := string(b)
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	return "expected an address or a network without bits behind its length, as in 10.0.0.9, 10.0.0.0/8 or fe80::/10%eth0, found " + strconv.Quote(text)
}

func (r *reader) saved(n document.Node) (*Saved, error) {
	f, err := n.Fields("unchanged_since", "fingerprint")
	if err != nil {
		return nil, err
	}
	var s Saved
	if v := f["unchanged_since"]; !v.IsZero() {
		if s.File, err = r.path(v); err != nil {
			return nil, err
		}
	}
	if v := f["fingerprint"]; !v.IsZero() {
		if s.Fingerprint, err = v.Text(); err != nil {
			return nil, err
		}
		if sum, err := hex.DecodeString(s.Fingerprint); err != nil || len(sum) != sha256.Size || strings.ToLower(s.Fingerprint) != s.Fingerprint {
			return nil, v.Errorf("expected the 64 hexadecimal digits of a fingerprint")
		}
	}
	if s == (Saved{}) {
		return nil, n.Errorf("expected unchanged_since: FILE, or fingerprint: HEX")
	}
	return &s, nil
}

// path is that of a file that is named beside this one.
func (r *reader) path(n document.Node) (string, error) {
	text, err := n.Text()
	if err == nil && !filepath.IsAbs(text) && r.file != "-" {
		text = filepath.Join(filepath.Dir(r.file), text)
	}
	return text, err
}

func (r *reader) planned(n document.Node) (*Planned, error) {
	f, err := n.Fields("file", "environment", "host")
	if err != nil {
		return nil, err
	}
	if f["file"].IsZero() {
		return nil, n.Errorf("expected file: the plan's")
	}
	var p Planned
	if p.File, err = r.path(f["file"]); err != nil {
		return nil, err
	}
	for key, to := range map[string]*string{"environment": &p.Environment, "host": &p.Host} {
		if v := f[key]; !v.IsZero() {
			if *to, err = name(v); err != nil {
				return nil, err
			}
		}
	}
	return &p, nil
}
