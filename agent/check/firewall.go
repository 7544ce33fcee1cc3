package check

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
)

// firewall compares the firewall with a state that was saved.
func (a *asker) firewall() error {
	const what = "firewall"
	saved := a.spec.Firewall
	unknown := func(why, needs string) error {
		a.result.expect(what, "unchanged", "unknown", diagnose.StatusUnknown)
		a.limit("whether the firewall has changed", why, needs)
		a.result.Says = "can't be told: " + why
		return nil
	}
	var before *firewall.Page
	if saved.File != "" {
		text, err := a.ReadFile(saved.File)
		if err == nil {
			before, err = firewall.ReadPage(text)
		}
		if err != nil {
			return unknown(fmt.Sprintf("%s: %v", saved.File, err), "the file that portwhy rules -o json wrote")
		}
		if len(before.Limits) > 0 {
			return unknown(fmt.Sprintf("%s was made without seeing all: %s", saved.File, before.Limits[0].What), "saving it anew, as root")
		}
	}
	fw, err := a.host.Firewall(a.ctx)
	if err != nil {
		l := diagnose.LimitOf("the firewall", err)
		return unknown(l.Why, l.Needs)
	}
	if len(fw.Limits) > 0 {
		return unknown(fw.Limits[0].What+": "+fw.Limits[0].Why, fw.Limits[0].Needs)
	}
	now := firewall.NewPage(fw.Rules, firewall.Printer(a.ctx, a.host), nil, a.started, a.Version)
	now.Seal(fw.Rules)
	for _, t := range now.Tables {
		for _, s := range t.Sets {
			if !s.ElementsKnown {
				a.limit(fmt.Sprintf("the elements of set %s %s %s", t.Family, t.Name, s.Name), "there are too many to compare", "comparing them with nft list set")
			}
		}
	}
	if saved.Fingerprint != "" && saved.Fingerprint != now.Fingerprint {
		a.result.expect(what, "fingerprint "+saved.Fingerprint, "fingerprint "+now.Fingerprint, diagnose.Broken)
	}
	if before != nil {
		a.result.Changes = firewall.Changes(before, now)
		switch {
		case len(a.result.Changes) > 0:
			a.result.expect(what, "as in "+saved.File, plural(len(a.result.Changes), "change", "changes"), diagnose.Broken)
		case before.State() != now.Fingerprint:
			a.result.expect(what, "as in "+saved.File, "changed, in what this version doesn't tell", diagnose.Broken)
		}
	}
	if bad := a.result.failing(); bad != nil {
		a.result.Says = "changed: " + bad.Found
		a.result.Culprit = ruleOf(a.result.Changes)
		return nil
	}
	a.result.expect(what, "unchanged", "unchanged", diagnose.OK)
	a.result.Says = "unchanged"
	return nil
}

// ruleOf is the first rule that is new, as a culprit; nil if there is none.
func ruleOf(list []firewall.Change) *diagnose.Culprit {
	for _, c := range list {
		if r := c.Rule; r != nil {
			return &diagnose.Culprit{Kind: "rule", Backend: string(r.Backend), Family: r.Family, Table: r.Table, Chain: r.Chain, Handle: r.Handle,
				Number: r.Number, Text: r.Text, File: r.File, Line: int(r.Line), Manager: "unknown"}
		}
	}
	return nil
}
