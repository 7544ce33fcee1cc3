package render

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
)

// maxIssue bounds the listeners in what is pasted into an issue.
const maxIssue = 20

// Issue is [Markdown] for a support report. Without a target it says who
// listens, which is what such a report is mostly asked for.
func Issue(reports []*diagnose.Report, l *listeners.List) []byte {
	if len(reports) > 0 {
		return Markdown(reports)
	}
	var m markdown
	fmt.Fprintf(&m.b, "### Facts of %s\n\n", span(Cut(l.Host.Hostname, maxSubject)))
	m.item("%s", prose(fmt.Sprintf("No target was asked about. %d sockets take connections or datagrams:", len(l.Listeners))))
	v := newListenersView(l)
	for i, row := range v.Rows {
		if i == maxIssue {
			m.sub("… and %d more", len(l.Listeners)-i)
			break
		}
		m.sub("%s %s", span(row.Socket), prose(row.Process+", "+row.Reach))
	}
	m.item("%s", prose(fmt.Sprintf("%s %s, %s %s, %s", l.Tool.Name, l.Tool.Version, l.Host.OS, l.Host.Kernel, l.At.UTC().Format("2006-01-02 15:04:05 UTC"))))
	return []byte(m.b.String())
}
