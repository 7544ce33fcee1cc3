package render

import (
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/cause"
)

// The parts of SARIF 2.1.0 that are used:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Language    string            `json:"language"`
		Invocations []sarifInvocation `json:"invocations"`
		Newlines    []string          `json:"newlineSequences"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		Language       string      `json:"language"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		Successful bool   `json:"executionSuccessful"`
		EndTime    string `json:"endTimeUtc"`
	}
	sarifResult struct {
		RuleID    string            `json:"ruleId"`
		RuleIndex int               `json:"ruleIndex"`
		Kind      string            `json:"kind"`
		Level     string            `json:"level"`
		Message   sarifText         `json:"message"`
		Locations []sarifLocation   `json:"locations,omitempty"`
		Related   []sarifLocation   `json:"relatedLocations,omitempty"`
		Prints    map[string]string `json:"partialFingerprints,omitempty"`
	}
	sarifLocation struct {
		ID       int           `json:"id,omitempty"`
		Physical sarifPhysical `json:"physicalLocation"`
		Message  *sarifText    `json:"message,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

// language is that of all texts.
const language = "en-US"

// sarif collects results, and the rules that they name.
type sarif struct {
	run   sarifRun
	index map[string]int
}

func newSARIF(version string, at time.Time) *sarif {
	return &sarif{index: map[string]int{}, run: sarifRun{
		Tool:        sarifTool{sarifDriver{Name: "portwhy", Version: Escape(version), Language: language, InformationURI: "https://github.com/portwhy/portwhy", Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{true, at.UTC().Format("2006-01-02T15:04:05.000Z")}}, Newlines: []string{"\r\n", "\n"}, Results: []sarifResult{}, Language: language}}
}

// add takes a result, and its rule where it is the first of that.
func (s *sarif) add(r sarifResult) {
	n, known := s.index[r.RuleID]
	if !known {
		n = len(s.run.Tool.Driver.Rules)
		s.index[r.RuleID] = n
		s.run.Tool.Driver.Rules = append(s.run.Tool.Driver.Rules, sarifRule{r.RuleID, sarifText{ruleText(r.RuleID)}})
	}
	r.RuleIndex = n
	s.run.Results = append(s.run.Results, r)
}

func (s *sarif) doc() ([]byte, error) {
	return JSON(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{s.run}})
}

// SARIF writes the checks that did not pass as results of static analysis: at the
// check's own line, with the culprit's line of configuration beside it.
func SARIF(all *check.Results) ([]byte, error) {
	s := newSARIF(all.Tool.Version, all.At)
	for _, c := range all.Checks {
		if c.Status == diagnose.OK {
			continue
		}
		r := sarifResult{RuleID: checkCode(c), Kind: "fail", Level: "error",
			Message: sarifText{Escape(c.Name) + ": " + Escape(c.Says) + "\n" + strings.Join(details(c), "\n")},
			Prints:  map[string]string{"portwhyCheck/v1": Escape(c.Kind + " " + c.Name)}}
		switch c.Status {
		case diagnose.Warning:
			r.Level = "warning"
		case diagnose.StatusUnknown:
			r.Kind, r.Level = "open", "none"
		}
		if c.File != "" && c.File != "-" {
			r.Locations = []sarifLocation{{Physical: sarifPlace(c.File, c.Line, c.Column)}}
		}
		if who := c.Culprit; who != nil && who.File != "" {
			at := sarifLocation{ID: 1, Physical: sarifPlace(who.File, who.Line, 0), Message: &sarifText{"where it is configured"}}
			if r.Locations == nil {
				r.Locations = []sarifLocation{{Physical: at.Physical}}
			} else {
				r.Related = []sarifLocation{at}
			}
		}
		s.add(r)
	}
	return s.doc()
}

// ruleText says what a code means.
func ruleText(code string) string {
	if e, ok := cause.Find(code); ok {
		return e.Summary
	}
	return "What was expected of " + code + " does not hold."
}

func sarifPlace(file string, line, column int) sarifPhysical {
	p := sarifPhysical{Artifact: sarifArtifact{fileURI(file)}}
	if line > 0 {
		p.Region = &sarifRegion{line, column}
	}
	return p
}

// fileURI is a file as a URI: relative to where portwhy ran, or absolute.
func fileURI(file string) string {
	u := url.URL{Path: filepath.ToSlash(file)}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
		if !strings.HasPrefix(u.Path, "/") {
			u.Path = "/" + u.Path
		}
	}
	return u.String()
}
