package render

import "github.com/portwhy/portwhy/diagnose"

// ReportsSchema names the JSON form of [Reports].
const ReportsSchema = "portwhy.reports/v1"

// Reports are the answers about several targets. Status is the highest of them.
type Reports struct {
	Schema  string             `json:"schema"`
	Status  diagnose.Status    `json:"status"`
	Reports []*diagnose.Report `json:"reports"`
}

// Collect puts reports into one document.
func Collect(reports []*diagnose.Report) Reports {
	all := Reports{Schema: ReportsSchema, Reports: reports}
	for _, r := range reports {
		all.Status = diagnose.Worse(all.Status, r.Status)
	}
	return all
}
