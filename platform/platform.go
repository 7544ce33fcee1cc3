// Package platform opens this host as a [host.Host]. It is the only place that
// knows which adapter serves which operating system: one file, open_GOOS.go,
// for each.
package platform

import "github.com/portwhy/portwhy/platform/host"

// Options says how to look at this host.
type Options struct {
	// NetNS is the network namespace to look from (Linux): a name of
	// ip-netns(8), a pid, or the path of a namespace file. Empty: the caller's own.
	NetNS string
}

// Open looks at this host. The error wraps [host.ErrNoNamespace] if o.NetNS
// stands for no namespace, which is a mistake in the call;
// [fs.ErrPermission] if the caller may not enter it; and
// [host.ErrUnsupported] if this system has no network namespaces.
func Open(o Options) (host.Host, error) { return open(o) }
