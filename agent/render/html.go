package render

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's template and style are files
	"encoding/base64"
	"fmt"
	"html/template"

	"github.com/portwhy/portwhy/agent/redact"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
)

// HTMLOptions say what a page holds beside the reports.
type HTMLOptions struct {
	// Listeners of the host; nil: they are not listed.
	Listeners *listeners.List
	// Replaced says what redaction replaced; nil: nothing is said of it.
	Replaced *redact.Summary
}

//go:embed page/report.tmpl
var reportPage string

//go:embed page/style.css
var pageStyle string

// HTML writes reports as one page for a browser, a phone or paper. The file
// holds all that it needs: it has no script, and its policy forbids it to load
// anything. The packet's way is drawn as a picture.
func HTML(reports []*diagnose.Report, o HTMLOptions) ([]byte, error) {
	page, err := template.New("page").Parse(reportPage)
	if err != nil {
		return nil, fmt.Errorf("reading the page's template: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, newPage(reports, o)); err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return b.Bytes(), nil
}

// policy forbids everything but the page's own style, which it knows by its
// hash: https://www.w3.org/TR/CSP3/.
func policy(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}
