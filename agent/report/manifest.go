// Package report makes and reads the file of a support report: a tar archive,
// compressed with zstd, that holds the answer as HTML, Markdown and JSON, the
// facts that it follows from, and a manifest with the hash of each.
//
// A file that comes from elsewhere is hostile until it was read to its end:
// [Read] takes only the entries that this package writes, bounds them all, and
// keeps them in memory. Nothing is ever extracted to a disk. The hashes show
// what was damaged or changed, not who made the file.
package report

import (
	"time"

	"github.com/portwhy/portwhy/diagnose"
)

// Schema names the form of [Manifest].
const Schema = "portwhy.manifest/v1"

// Manifest says what is in the archive. Its JSON form is a promise: within v1
// fields are only added.
type Manifest struct {
	Schema string        `json:"schema"`
	Tool   diagnose.Tool `json:"tool"`
	At     time.Time     `json:"at"` // when the archive was made
	// Redaction is what was replaced: none, secrets, all.
	Redaction string `json:"redaction"`
	Asked     Asked  `json:"asked"`
	Files     []File `json:"files"`
}

// Asked is what the report answers, in the names that the snapshot has.
type Asked struct {
	Question diagnose.Question `json:"question"`
	Targets  []string          `json:"targets"`
	From     string            `json:"from,omitempty"` // as --from takes it
	User     *uint32           `json:"user,omitempty"` // for whom a bind was asked; absent: the caller
	NoProbe  bool              `json:"no_probe,omitempty"`
}

// File is one entry beside the manifest.
type File struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // hexadecimal
}

// The names of the entries.
const (
	ManifestName  = "manifest.json"
	HTMLName      = "report.html"
	MarkdownName  = "report.md"
	JSONName      = "report.json"
	RedactionName = "redaction.md"
	SnapshotName  = "snapshot"
)

// MaxTargets is how many a report may be about.
const MaxTargets = 1000

// maxManifest bounds the manifest, in bytes.
const maxManifest = 1 << 20

// contents are the entries behind the manifest, in their order, with the most
// that each may hold, in bytes.
var contents = []struct {
	name, about string
	most        int64
}{
	{HTMLName, "the answer for a browser, a phone or paper", 128 << 20},
	{MarkdownName, "the answer to paste into an issue", 64 << 20},
	{JSONName, "the answer for programs", 256 << 20},
	{RedactionName, "what was replaced", 16 << 20},
	{SnapshotName, "the facts that the answer follows from", 512 << 20},
}

// mostOf is the bound of an entry, false if there is none of that name.
func mostOf(name string) (int64, bool) {
	if name == ManifestName {
		return maxManifest, true
	}
	for _, c := range contents {
		if c.name == name {
			return c.most, true
		}
	}
	return 0, false
}
