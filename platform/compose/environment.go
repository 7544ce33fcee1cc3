package compose

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
)

// interpolate puts variables into a text, and says which it names that are not
// set and have no default.
func interpolate(text string, env map[string]string) (out string, unset []string, err error) {
	if len(text) > maxTemplate {
		return "", nil, fmt.Errorf("a value of %d bytes with variables is too long", len(text))
	}
	long := ""
	lookup := func(name string) (string, bool) {
		value, ok := env[name]
		if len(value) > maxTemplate {
			long = name
			return "", true
		}
		if !ok && !slices.Contains(unset, name) && len(unset) < 16 {
			unset = append(unset, name)
		}
		return value, ok
	}
	out, err = template.SubstituteWithOptions(text, lookup, template.WithoutLogging)
	var missing *template.MissingRequiredError
	var invalid *template.InvalidTemplateError
	switch {
	case long != "":
		return "", nil, fmt.Errorf("the variable %s is longer than %d bytes", cut(long), maxTemplate)
	case errors.As(err, &missing):
		why := ""
		if missing.Reason != "" {
			why = " (" + cut(missing.Reason) + ")"
		}
		return "", nil, fmt.Errorf("the variable %s has to be set%s: give it with --env %s=VALUE or --env-file FILE", cut(missing.Variable), why, cut(missing.Variable))
	case errors.As(err, &invalid):
		return "", nil, fmt.Errorf("%q is no valid use of variables; a dollar sign is written $$", cut(text))
	case err != nil:
		return "", nil, fmt.Errorf("variables in %q: %w", cut(text), err)
	}
	if len(out) > maxScalar {
		return "", nil, fmt.Errorf("variables make the value longer than %d bytes", maxScalar)
	}
	// What has a default of its own is set.
	return out, slices.DeleteFunc(unset, func(name string) bool { return hasDefault(text, name) }), nil
}

// hasDefault reports whether the text says what stands for a variable that is
// not set.
func hasDefault(text, name string) bool {
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, "${"+name)
		if !ok {
			return strings.Contains(text, "${"+name)
		}
		if !strings.HasPrefix(after, ":-") && !strings.HasPrefix(after, "-") && !strings.HasPrefix(after, ":+") && !strings.HasPrefix(after, "+") {
			return false
		}
		rest = after
	}
}

// dotenv adds the variables of a .env file that are not set yet.
func (l *loading) dotenv(env map[string]string, name string, data []byte) error {
	if len(data) > MaxFile {
		return l.fail(place{file: name}, "is larger than %d bytes", MaxFile)
	}
	values, err := dotenv.UnmarshalBytesWithLookup(data, func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err != nil {
		// The message may repeat a line, and a line may be a secret.
		at := place{file: name}
		fmt.Sscanf(err.Error(), "line %d:", &at.line)
		return l.fail(at, "is no file of NAME=value lines")
	}
	for key, value := range values {
		if _, set := env[key]; !set {
			env[key] = value
		}
	}
	return nil
}

// name is the project's, as compose finds it.
func (l *loading) name(env map[string]string) string {
	if name := projectName(env["COMPOSE_PROJECT_NAME"]); name != "" {
		return name
	}
	named := ""
	for _, file := range l.options.Files {
		docs, err := l.documents(file, place{file: file}, env)
		if err != nil {
			break // it will be told when the file is read for its services
		}
		for _, doc := range docs {
			if n := doc.get("name"); n != nil && n.text != "" {
				named = n.text
			}
		}
	}
	if name := projectName(named); name != "" {
		return name
	}
	return projectName(l.options.Name)
}

// projectName keeps what may stand in the name of a project.
func projectName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return -1
	}, strings.ToLower(s))
	return strings.TrimLeft(s, "_-")
}
