package host

import "context"

// Namespaces asks for network namespaces.
type Namespaces interface {
	// Namespaces lists the network namespaces that can be found: by processes,
	// and by mounts such as those of ip-netns(8).
	Namespaces(ctx context.Context) (NamespaceList, error)
	// Enter returns the same host seen from within another network namespace.
	// It fails with fs.ErrPermission where the caller may not enter.
	Enter(ctx context.Context, ns Namespace) (Host, error)
}

// NamespaceList is what could be found.
type NamespaceList struct {
	Namespaces []Namespace
	Limits     []Limit
}

// Namespace is a network namespace.
type Namespace struct {
	Inode     uint64
	Name      string // of ip-netns(8), if it has one
	Path      string // a file that stands for it: /run/netns/blue, /proc/812/ns/net
	PID       int    // the lowest pid in it, 0 if it has no process
	Processes int
	Process   string // name of that process
	Container string // container id, if that process is in one
	Current   bool   // this view's own
	Host      bool   // the namespace of pid 1
}
