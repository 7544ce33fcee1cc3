package redact

import "strings"

// Target is a target as the redacted recording knows it: the same that was
// asked, of the host or address that stands for the one in it. Call Snapshot
// first.
func (r *Redactor) Target(target string) string {
	if r.level == None {
		return target
	}
	if r.level == Secrets {
		return r.change(text, target)
	}
	if path, ok := strings.CutPrefix(target, "unix:"); ok {
		slashes := path[:len(path)-len(strings.TrimPrefix(path, "//"))]
		return "unix:" + slashes + r.change(pathText, path[len(slashes):])
	}
	before, host, port, path := splitTarget(target)
	if path != "" {
		path = r.change(text, path)
	}
	return before + r.target(host) + port + path
}

// splitTarget parts a target: the scheme, the host, :port, and the path of a URL.
// A user and password are left out: the recording doesn't have them.
func splitTarget(target string) (before, host, port, path string) {
	rest := target
	if scheme, behind, ok := strings.Cut(target, "://"); ok {
		before, rest = scheme+"://", behind
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			rest, path = rest[:i], rest[i:]
		}
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			rest = rest[i+1:]
		}
	}
	if strings.HasPrefix(rest, "[") || strings.Count(rest, ":") != 1 {
		if i := strings.LastIndex(rest, "]:"); i >= 0 {
			return before, rest[:i+1], rest[i+1:], path
		}
		return before, rest, "", path
	}
	host, port, _ = strings.Cut(rest, ":")
	return before, host, ":" + port, path
}

func (r *Redactor) target(host string) string {
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if bare == "" || digitsOnly(bare) {
		return host
	}
	out := r.host(bare)
	if bare != host {
		return "[" + out + "]"
	}
	return out
}

// seeTarget takes note of what a target tells.
func (r *Redactor) seeTarget(target string) {
	r.see(text, target)
	if strings.HasPrefix(target, "unix:") || r.level != All {
		return
	}
	_, host, _, _ := splitTarget(target)
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host != "" && !digitsOnly(host) {
		r.see(hostText, host)
	}
}
