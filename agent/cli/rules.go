package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/files"
	"github.com/portwhy/portwhy/rules/ipset"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/text"
)

// rulesFlag is where the rules come from: files, or else the host.
type rulesFlag struct{ files []string }

func (f *rulesFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "rules", nil, "take the rules from the saved `FILE` (- is stdin) instead of the host; may be given several times")
}

func newRules(s *session) *cobra.Command {
	var from rulesFlag
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Show the whole firewall as one page: nftables and both iptables, in the order in which packets meet them",
		Long: `rules lists every chain of nftables, iptables-nft and iptables-legacy by hook and
priority, each rule as its own tool writes it, with its handle or number and its
counters; then the chains that rules jump to, sets and objects.

` + rulesAbout,
		Example:           "  sudo portwhy rules\n  portwhy rules --rules saved.rules -o json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return s.rules(cmd, from) },
	}
	from.add(cmd)
	outputs(cmd, "text", "json", "yaml")
	cmd.AddCommand(newRulesWhy(s))
	return cmd
}

const rulesAbout = `--rules takes what these write: nft list ruleset, nft -j list ruleset, iptables-save,
ip6tables-save, ipset save; and files for nft -f, iptables-restore, ipset restore.`

func (s *session) rules(cmd *cobra.Command, from rulesFlag) error {
	fw, facts, err := s.firewall(cmd.Context(), from)
	if err != nil {
		return err
	}
	at := time.Now().UTC()
	if facts != nil {
		if info, err := facts.Info(cmd.Context()); err == nil {
			at = info.At
		}
	}
	page := firewall.NewPage(fw.Rules, printerFor(cmd.Context(), facts), fw.Limits, at, s.build().Version)
	if len(page.Tables) == 0 && len(page.Limits) > 0 {
		s.status = int(diagnose.StatusUnknown)
	}
	if s.output != "text" {
		return s.document(page)
	}
	return s.print(render.Firewall(page, render.TextOptions{Width: s.width(), Color: s.colored()}))
}

// firewall reads the rules, from the files if there are any. The host is nil if
// nothing of it may be asked: the rules are from files, and not of this host.
func (s *session) firewall(ctx context.Context, from rulesFlag) (host.Firewall, host.Host, error) {
	fw := host.Firewall{Rules: &rules.Ruleset{}}
	if len(from.files) > 0 && s.netns != "" {
		return fw, nil, usage("--rules and --netns exclude each other: saved rules are of no namespace")
	}
	var facts host.Host
	if len(from.files) == 0 || s.snapshot != "" {
		h, err := s.open()
		if err != nil {
			return fw, nil, err
		}
		facts = h
	}
	if len(from.files) == 0 {
		fw, err := facts.Firewall(ctx)
		if err != nil {
			return fw, nil, undetermined("%w", err)
		}
		return fw, facts, nil
	}
	stdin := 0
	for _, path := range from.files {
		if path == "-" {
			if stdin++; stdin > 1 || s.snapshot == "-" {
				return fw, nil, usage("--rules -: standard input can be read once")
			}
		}
		set, err := s.readRules(ctx, path, facts)
		if err != nil {
			return fw, nil, err
		}
		fw.Rules.Merge(set)
	}
	ipset.NameSets(fw.Rules)
	return fw, facts, nil
}

// maxRules bounds a file of rules.
const maxRules = 1 << 30

func (s *session) readRules(ctx context.Context, path string, facts host.Host) (*rules.Ruleset, error) {
	data, err := s.readFile(path)
	if err != nil {
		return nil, usage("--rules %s: %w", path, err)
	}
	o := files.Options{Include: s.include}
	if facts != nil {
		o.Interface = indexOf(ctx, facts)
	}
	set, err := files.Parse(path, data, o)
	if err != nil {
		return nil, usage("--rules: %w", err)
	}
	return set, nil
}

// readFile reads a plain file, or standard input.
func (s *session) readFile(path string) ([]byte, error) {
	in := s.Stdin
	if path != "-" {
		f, err := openPlain(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxRules+1))
	if err == nil && len(data) > maxRules {
		err = fmt.Errorf("larger than %d MiB", maxRules>>20)
	}
	return data, err
}

// include reads the files that nft's include names, which may be a pattern. One
// that is not absolute is below /etc, as nft has it, or else here.
func (s *session) include(pattern string) ([]nfttext.File, error) {
	places := []string{pattern}
	if !filepath.IsAbs(pattern) && !strings.HasPrefix(pattern, "./") {
		places = []string{filepath.Join("/etc", pattern), pattern}
	}
	for _, place := range places {
		names, err := filepath.Glob(place)
		if err != nil {
			return nil, err
		}
		var list []nfttext.File
		for _, name := range names {
			data, err := s.readFile(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			list = append(list, nfttext.File{Name: name, Text: string(data)})
		}
		if len(list) > 0 {
			return list, nil
		}
	}
	if strings.ContainsAny(pattern, "*?[") {
		return nil, nil // a pattern may stand for nothing
	}
	return nil, fs.ErrNotExist
}

// indexOf is a device's index by its name.
func indexOf(ctx context.Context, h host.Host) func(string) (uint32, bool) {
	links, err := h.Links(ctx)
	if err != nil {
		return nil
	}
	return func(name string) (uint32, bool) {
		for _, l := range links {
			if l.Name == name {
				return uint32(l.Index), true
			}
		}
		return 0, false
	}
}

// printerFor prints rules with the names of the host's devices.
func printerFor(ctx context.Context, h host.Host) *text.Printer {
	p := &text.Printer{Interface: func(index uint32) string {
		if index == 1 {
			return "lo" // in every namespace
		}
		return ""
	}}
	if h == nil {
		return p
	}
	links, err := h.Links(ctx)
	if err != nil {
		return p
	}
	names := make(map[uint32]string, len(links))
	for _, l := range links {
		names[uint32(l.Index)] = l.Name
	}
	p.Interface = func(index uint32) string { return names[index] }
	return p
}
