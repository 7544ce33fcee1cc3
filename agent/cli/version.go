package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
)

// VersionSchema names the JSON form of [Build].
const VersionSchema = "portwhy.version/v1"

// Build says which portwhy this is.
type Build struct {
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // empty if it was not built from a checkout
	Modified bool   `json:"modified"` // the checkout had changes
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// build reads what the linker and the toolchain left in the binary.
func (p Program) build() Build {
	b := Build{Schema: VersionSchema, Name: "portwhy", Version: p.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
		if b.Version == "" {
			b.Version = info.Main.Version
		}
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	return b
}

func newVersion(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "Print which portwhy this is",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			b := s.build()
			if s.output != "text" {
				return s.document(b)
			}
			commit := ""
			if b.Commit != "" {
				commit = " commit " + render.Cut(b.Commit, 12)
				if b.Modified {
					commit += " with changes"
				}
			}
			return s.print(fmt.Appendf(nil, "portwhy %s%s %s %s/%s\n", b.Version, commit, b.Go, b.OS, b.Arch))
		},
	}
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

// document prints a value in one of the forms that programs read.
func (s *session) document(v any) error {
	encode := render.JSON
	if s.output == "yaml" {
		encode = render.YAML
	}
	doc, err := encode(v)
	if err != nil {
		return undetermined("%w", err)
	}
	return s.print(doc)
}
