package diagnose

import (
	"cmp"
	"slices"
	"strings"
)

// risks are ordered.
var risks = []string{"low", "medium", "high"}

// together is one fix for all that stops the flow of the root cause: nil if one
// blocker is all there is, or if there is one that no commands mend.
func (r *run) together(root *Cause) *Fix {
	if root == nil {
		return nil
	}
	all := Fix{Cause: root.Code, PredictedOutcome: Connected, Check: "simulated", Risk: risks[0], Persistent: true}
	var titles, opens []string
	parts := 0
	for _, c := range r.flows[root.flow].causes {
		if c.Sometimes || c.Confidence == Possible {
			continue // it may be no blocker at all
		}
		at := slices.IndexFunc(c.Fixes, func(f Fix) bool {
			return len(f.Commands) > 0 && len(f.Undo) > 0 && f.PredictedOutcome == Connected
		})
		if at < 0 {
			return nil
		}
		f := c.Fixes[at]
		if slices.ContainsFunc(all.Commands, func(argv []string) bool { return slices.Equal(argv, f.Commands[0]) }) {
			continue // one fix mends both
		}
		parts++
		if !slices.Contains(titles, f.Title) {
			titles = append(titles, f.Title)
		}
		if f.Opens != "nothing" && f.Opens != "" && !slices.Contains(opens, f.Opens) {
			opens = append(opens, f.Opens)
		}
		all.Commands = slices.Concat(all.Commands, f.Commands)
		all.Undo = slices.Concat(f.Undo, all.Undo)
		all.NeedsRoot = all.NeedsRoot || f.NeedsRoot
		all.Persistent = all.Persistent && f.Persistent
		if f.Check != "simulated" {
			all.Check = "none"
		}
		all.Risk = risks[max(slices.Index(risks, all.Risk), slices.Index(risks, f.Risk))]
	}
	switch parts {
	case 0, 1:
		return nil
	case 2:
		all.Title = "do both: "
	default:
		all.Title = "do all of it: "
	}
	all.Title += strings.Join(titles, ", then ")
	all.Opens = cmp.Or(strings.Join(opens, "; "), "nothing")
	return &all
}
