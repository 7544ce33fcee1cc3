package cli

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/declare"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose/preflight"
)

// preflightFlags say how files are read and for whom is asked.
type preflightFlags struct {
	kind, root, user      string
	env, envFiles, active []string
	configs               bool
}

func newPreflight(s *session) *cobra.Command {
	var f preflightFlags
	cmd := &cobra.Command{
		Use:   "preflight FILE...",
		Short: "Tell what will clash before compose up and the like",
		Long: `preflight reads which ports files declare and tells, before anything starts, which
of them will clash: with each other, and with what this host has now. Each finding
has file, line and column.

FILE is a compose file or the directory of one, a Kubernetes manifest, a systemd
unit, a Procfile, a .env, or a configuration of nginx, Apache, PostgreSQL, Redis,
sshd and others; - is standard input. Compose files of one directory override each
other in the order given; for a compose.yaml its override file is read, too.

Files are not trusted: nothing is run or fetched, only what lies below the file's
directory is read, and no variable of this shell is used unless --env names it.`,
		Example: "  portwhy preflight compose.yaml\n  portwhy preflight . --profile debug --env PORT=8081\n  helm template . | portwhy preflight -\n  portwhy preflight --configs",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !f.configs {
				return usage("preflight needs a FILE, or --configs")
			}
			return s.preflight(cmd, args, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "kind", "", "what the files are: "+strings.Join(declare.Kinds(), ", "))
	flags.StringVar(&f.root, "root", "", "read files from below `DIR`, instead of each file's own directory")
	flags.StringArrayVar(&f.env, "env", nil, "set a variable for compose files, as `NAME=VALUE`; NAME alone takes it from this shell")
	flags.StringArrayVar(&f.envFiles, "env-file", nil, "read variables for compose files from `FILE` instead of the project's .env")
	flags.StringArrayVar(&f.active, "profile", nil, "a `PROFILE` of compose files that is active; * for all")
	flags.StringVar(&f.user, "user", "", "answer for the user `NAME|UID` who will start it; for containers it is root unless their engine is rootless")
	flags.BoolVar(&f.configs, "configs", false, "also what the configurations on this host say")
	must(cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(declare.Kinds(), cobra.ShellCompDirectiveNoFileComp)))
	outputs(cmd, "text", "json", "yaml", "markdown", "nagios", "sarif")
	return cmd
}

func (s *session) preflight(cmd *cobra.Command, paths []string, f preflightFlags) error {
	if err := knownKind(f.kind); err != nil {
		return err
	}
	if len(paths) > 256 {
		return usage("%d files: more than 256", len(paths))
	}
	env, err := s.variables(f.env)
	if err != nil {
		return err
	}
	read, err := declare.Read(cmd.Context(), paths, declare.Options{Kind: f.kind, Root: f.root, Env: env, EnvFiles: f.envFiles, Profiles: f.active, Stdin: s.Stdin})
	var bad *declare.Error
	if errors.As(err, &bad) {
		return usage("%w", err)
	}
	if err != nil {
		return undetermined("%w", err)
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	// A recording answers no bind that nobody asked for when it was made.
	o := preflight.Options{Checks: s.Checks, NoProbe: s.noProbe || s.snapshot != "", Timeout: s.timeout, Version: s.build().Version}
	if f.configs {
		claims, err := h.Claims(cmd.Context())
		if err != nil {
			return undetermined("reading the configurations of this host: %w", err)
		}
		own := declare.FromHost(claims)
		read.Files = append(read.Files, own.Files...)
		read.Declared = append(read.Declared, own.Declared...)
		read.Limits = append(read.Limits, own.Limits...)
	}
	switch {
	case f.user != "":
		uid, err := userID(cmd, h, f.user)
		if err != nil {
			return err
		}
		o.UID = &uid
	case cmd.Flags().Changed("user"):
		return usage("--user is empty")
	case strings.HasPrefix(s.Getenv("DOCKER_HOST"), "unix:///run/user/"):
		uid := uint32(max(os.Getuid(), 0))
		o.UID = &uid
	}
	rep, err := preflight.Run(cmd.Context(), h, read.Input, o)
	if err != nil {
		return undetermined("%w", err)
	}
	rep.Limits = append(rep.Limits, read.Limits...)
	s.log.Debug().Int("ports", len(rep.Ports)).Int("findings", len(rep.Findings)).Float64("ms", rep.DurationMS).Msg("preflight")
	s.status = int(rep.Status)
	switch s.output {
	case "json", "yaml":
		return s.document(rep)
	case "markdown":
		return s.print(render.PreflightMarkdown(rep))
	case "nagios":
		return s.print(render.PreflightNagios(rep))
	case "sarif":
		doc, err := render.PreflightSARIF(rep)
		if err != nil {
			return err
		}
		return s.print(doc)
	}
	return s.print(render.Preflight(rep, render.TextOptions{Width: s.width(), Color: s.colored(), Checks: s.verbose}))
}

// knownKind validates --kind.
func knownKind(kind string) error {
	if kind != "" && !slices.Contains(declare.Kinds(), kind) {
		return usage("--kind %q: there are %s", render.Cut(kind, 40), strings.Join(declare.Kinds(), ", "))
	}
	return nil
}

// variables reads --env.
func (s *session) variables(list []string) (map[string]string, error) {
	env := map[string]string{}
	for _, v := range list {
		name, value, set := strings.Cut(v, "=")
		if name == "" || strings.ContainsAny(name, " \t\n\x00") {
			return nil, usage("--env %q: it is NAME=VALUE, or NAME", render.Cut(name, 40))
		}
		if !set {
			value = s.Getenv(name)
		}
		env[name] = value
	}
	return env, nil
}
