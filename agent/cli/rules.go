package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules/files"
	"github.com/portwhy/portwhy/rules/ipset"
	"github.com/portwhy/portwhy/rules/nfttext"
)

func newRules(s *session) *cobra.Command {
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
		RunE:              func(cmd *cobra.Command, _ []string) error { return s.rules(cmd) },
	}
	outputs(cmd, "text", "json", "yaml")
	takesRules(cmd)
	cmd.AddCommand(newRulesWhy(s))
	return cmd
}

const rulesAbout = `--rules takes what these write: nft list ruleset, nft -j list ruleset, iptables-save,
ip6tables-save, ipset save; and files for nft -f, iptables-restore, ipset restore.
nft -t leaves the elements of sets out without a word: such sets look empty.`

func (s *session) rules(cmd *cobra.Command) error {
	fw, facts, err := s.firewall(cmd.Context())
	if err != nil {
		return err
	}
	at := time.Now().UTC()
	if facts != nil {
		if fw, err = host.WithIPSets(cmd.Context(), facts, fw); err != nil {
			return undetermined("%w", err)
		}
		if info, err := facts.Info(cmd.Context()); err == nil {
			at = info.At
		}
	}
	page := firewall.NewPage(fw.Rules, firewall.Printer(cmd.Context(), facts), fw.Limits, at, s.build().Version)
	if len(page.Tables) == 0 && len(page.Limits) > 0 {
		s.status = int(diagnose.StatusUnknown)
	}
	if s.output != "text" {
		page.Seal(fw.Rules)
		return s.document(page)
	}
	if err := render.Firewall(s.Stdout, page, render.TextOptions{Width: s.width(), Color: s.colored()}); err != nil {
		return undetermined("writing the answer: %w", err)
	}
	return nil
}

// firewall reads the rules, from the files if there are any. The host is nil if
// nothing of it may be asked: the rules are from files, and not of this host.
func (s *session) firewall(ctx context.Context) (host.Firewall, host.Host, error) {
	var facts host.Host
	if len(s.rulesFiles) == 0 || s.snapshot != "" {
		h, err := s.open()
		if err != nil {
			return host.Firewall{}, nil, err
		}
		facts = h
	}
	if len(s.rulesFiles) == 0 {
		fw, err := facts.Firewall(ctx)
		if err != nil {
			return fw, nil, undetermined("%w", err)
		}
		return fw, facts, nil
	}
	fw, err := s.savedRules(ctx, facts)
	return fw, facts, err
}

// savedRules reads the files of --rules.
func (s *session) savedRules(ctx context.Context, facts host.Host) (host.Firewall, error) {
	var list []files.Read
	for _, path := range s.rulesFiles {
		read, err := s.readRules(ctx, path, facts)
		if err != nil {
			return host.Firewall{}, err
		}
		list = append(list, read)
	}
	all, err := files.Merge(list)
	if err != nil {
		return host.Firewall{}, usage("--rules: %w", err)
	}
	fw := host.Firewall{Rules: all}
	ipset.NameSets(fw.Rules)
	return fw, nil
}

// elsewhere is a host with the rules of files instead of its own.
type elsewhere struct {
	host.Host
	rules host.Firewall
}

// Firewall is what the files say.
func (e elsewhere) Firewall(context.Context) (host.Firewall, error) { return e.rules, nil }

// FirewallFiles are none: the host's own tell where its own rules are from.
func (e elsewhere) FirewallFiles(context.Context) (host.FirewallFiles, error) {
	return host.FirewallFiles{}, nil
}

// withRules puts the rules of --rules, if any, in the place of the host's own.
func (s *session) withRules(ctx context.Context, h host.Host) (host.Host, error) {
	if len(s.rulesFiles) == 0 {
		return h, nil
	}
	fw, err := s.savedRules(ctx, h)
	if err != nil {
		return nil, err
	}
	return elsewhere{h, fw}, nil
}

// maxRules bounds a file of rules.
const maxRules = 1 << 30

func (s *session) readRules(ctx context.Context, path string, facts host.Host) (files.Read, error) {
	data, err := s.readFile(path)
	if err != nil {
		return files.Read{}, usage("--rules %s: %w", path, err)
	}
	o := files.Options{Include: s.include}
	if facts != nil {
		o.Interface = indexOf(ctx, facts)
	}
	bound(len(data))
	kind := files.Detect(data)
	set, err := files.Parse(path, data, o)
	if err != nil {
		return files.Read{}, usage("--rules: %w", err)
	}
	return files.Read{Name: path, Kind: kind, Rules: set}, nil
}

// bound has garbage collected more often when a large file is read: what is made
// of the file needs enough memory by itself. It is to fit into four times the file's
// size, with what else the process has; of a file that isn't so large that would have
// garbage collected all the time.
func bound(size int) {
	const large, percent, least = 4 << 20, 40, 48 << 20
	if size <= large {
		return
	}
	debug.SetGCPercent(percent)
	limit := max(int64(size)*7/2, least)
	if before := debug.SetMemoryLimit(-1); before != math.MaxInt64 {
		limit += before // of another file, or of who runs this
	}
	debug.SetMemoryLimit(limit)
}

// readFile reads a plain file, or standard input.
func (s *session) readFile(path string) (string, error) {
	in := s.Stdin
	var b strings.Builder
	if path != "-" {
		f, err := openPlain(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
		if st, err := f.Stat(); err == nil && st.Size() <= maxRules {
			b.Grow(int(st.Size()))
		}
	}
	if _, err := io.Copy(&b, io.LimitReader(in, maxRules+1)); err != nil {
		return "", err
	}
	if b.Len() > maxRules {
		return "", fmt.Errorf("larger than %d MiB", maxRules>>20)
	}
	return b.String(), nil
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
			list = append(list, nfttext.File{Name: name, Text: data})
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
