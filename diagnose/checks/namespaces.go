package checks

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// inNamespaces looks into every other network namespace that can be entered,
// until see returns false. What could not be entered becomes a limit.
func inNamespaces(p *diagnose.Pass, see func(host.Namespace, host.Host) bool) {
	list, err := p.Host.Namespaces(p.Ctx)
	if err != nil {
		p.Limit(diagnose.LimitOf("other network namespaces", err))
		return
	}
	for _, l := range list.Limits {
		p.Limit(l)
	}
	closed := 0
	for _, ns := range list.Namespaces {
		if ns.Current {
			continue
		}
		h, err := p.Host.Enter(p.Ctx, ns)
		if err != nil {
			closed++
			continue
		}
		if !see(ns, h) {
			break
		}
	}
	if closed > 0 {
		what, why := fmt.Sprintf("the inside of %d other network namespaces", closed), "they can't be entered"
		if closed == 1 {
			what, why = "the inside of another network namespace", "it can't be entered"
		}
		p.Limit(host.Limit{What: what, Why: why, Needs: "root"})
	}
}

// namespaceName names a namespace for a sentence.
func namespaceName(ns host.Namespace) string {
	switch {
	case ns.Name != "":
		return "network namespace " + ns.Name
	case ns.Container != "":
		return "container " + shortID(ns.Container)
	case ns.Host:
		return "the host's network namespace"
	case ns.PID != 0:
		return fmt.Sprintf("the network namespace of %s (pid %d)", ns.Process, ns.PID)
	}
	return fmt.Sprintf("network namespace %d", ns.Inode)
}
