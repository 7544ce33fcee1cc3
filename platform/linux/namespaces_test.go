//go:build linux

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

func isPermission(err error) bool { return errors.Is(err, fs.ErrPermission) }

func isNotFound(err error) bool { return errors.Is(err, host.ErrNotFound) }

func TestNamespacesLive(t *testing.T) {
	name, h := labNetNS(t, "names")
	own, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := own.Namespaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ns := find(t, "the own namespace", list.Namespaces, func(n host.Namespace) bool { return n.Current }); ns.Inode != own.netns || ns.PID == 0 || ns.Processes == 0 || ns.Process == "" {
		t.Errorf("%+v", ns)
	}
	find(t, "the host's namespace", list.Namespaces, func(n host.Namespace) bool { return n.Host && n.Inode == firstNamespace() })
	blue := find(t, name, list.Namespaces, func(n host.Namespace) bool { return n.Name == name })
	if blue.Inode != h.netns || blue.Path != filepath.Join("/run/netns", name) || blue.PID != 0 || blue.Current {
		t.Errorf("%+v", blue)
	}
	inner, err := own.enter(blue)
	if err != nil || inner.netns != blue.Inode {
		t.Errorf("enter: %+v, %v", inner, err)
	}
	if _, err := own.enter(host.Namespace{Inode: 1, Path: blue.Path}); !isNotFound(err) {
		t.Errorf("another one's path: %v", err)
	}
	// It goes away: what is open stays usable, what is new is not found.
	ipCommand(t, "netns", "del", name)
	if _, err := inner.Links(t.Context()); err != nil {
		t.Errorf("in a namespace without a name: %v", err)
	}
	if _, err := own.enter(blue); !isNotFound(err) {
		t.Errorf("gone: %v", err)
	}
	if _, err := own.enter(host.Namespace{Inode: 5}); !isNotFound(err) {
		t.Errorf("nowhere: %v", err)
	}
}

func TestParseNamespaceMounts(t *testing.T) {
	got := parseNamespaceMounts(strings.NewReader(`36 35 0:4 net:[4026532290] /run/netns/blue\040one rw shared:5 - nsfs nsfs rw
37 35 0:4 mnt:[4026532291] /run/mnt rw - nsfs nsfs rw
38 35 0:4 net:[x] /run/netns/bad rw - nsfs nsfs rw
39 35 8:1 / / rw - ext4 /dev/sda rw
40 35 0:4 net:[7] /run/docker/netns/1-a rw - nsfs nsfs rw
short
`))
	want := []namespaceMount{{4026532290, "/run/netns/blue one"}, {7, "/run/docker/netns/1-a"}}
	if !slices.Equal(got, want) || got[0].name() != "blue one" || got[1].name() != "" {
		t.Errorf("%+v", got)
	}
}

func FuzzNamespaces(f *testing.F) {
	f.Add("36 35 0:4 net:[4026532290] /run/netns/blue rw shared:5 - nsfs nsfs rw\n", "net:[4]")
	f.Fuzz(func(t *testing.T, mounts, link string) {
		for _, m := range parseNamespaceMounts(strings.NewReader(mounts)) {
			if len(m.path) > 4100*4 {
				t.Error("too long")
			}
		}
		if inode, ok := parseNamespaceLink(link); ok && link != fmt.Sprintf("net:[%d]", inode) && !strings.HasPrefix(link, "net:[0") {
			t.Errorf("%q is %d", link, inode)
		}
	})
}
