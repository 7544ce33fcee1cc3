// Package files reads saved rulesets of any kind: it finds out which tool wrote
// the file by how it begins, and hands it to that tool's parser.
package files

import (
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
	"github.com/portwhy/portwhy/rules/nftjson"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/xtables"
)

// Kind says which tool writes such a file.
type Kind string

// The kinds.
const (
	Empty        Kind = "nothing"
	NFTJSON      Kind = "nft -j list ruleset"
	NFTText      Kind = "nft list ruleset"
	IPTablesSave Kind = "iptables-save"
	IPSetSave    Kind = "ipset save"
)

// Detect tells the kind by the first line that is no comment.
func Detect(data string) Kind {
	for line := range strings.Lines(strings.TrimPrefix(data, byteOrderMark)) {
		line = strings.TrimSpace(line)
		switch {
		case len(line) == 0 || line[0] == '#':
			continue
		case line[0] == '{' || line[0] == '[':
			return NFTJSON
		case line[0] == '*' || line[0] == ':' || line[0] == '-':
			return IPTablesSave
		case isIPSet(line):
			return IPSetSave
		}
		return NFTText
	}
	return Empty
}

// isIPSet tells a command of ipset from one of nft: it creates a set of a type
// such as hash:ip, or has a set's name where nft has the word for a thing.
func isIPSet(line string) bool {
	words := strings.Fields(line)
	switch {
	case words[0] == "create":
		return len(words) > 2 && strings.Contains(words[2], ":")
	case words[0] == "add" || words[0] == "del":
		return len(words) > 2 && !things[words[1]]
	}
	return false
}

// things are what nft's commands add and delete.
var things = map[string]bool{"table": true, "chain": true, "rule": true, "set": true, "map": true, "element": true, "flowtable": true,
	"counter": true, "quota": true, "limit": true, "secmark": true, "synproxy": true, "ct": true}

// Options is what a file alone doesn't tell: see [nfttext.Options].
type Options = nfttext.Options

// Parse reads a file; name is for its errors, which are [rules.SyntaxError].
func Parse(name, data string, o Options) (*rules.Ruleset, error) {
	data = strings.TrimPrefix(data, byteOrderMark)
	if err := foreign(name, data); err != nil {
		return nil, err
	}
	switch Detect(data) {
	case Empty:
		return &rules.Ruleset{}, nil
	case NFTJSON:
		return nftjson.Parse(name, strings.NewReader(data), o.Options)
	case IPTablesSave:
		return xtables.Parse(name, data, 0)
	case IPSetSave:
		sets, err := ipset.Parse(name, data)
		if err != nil {
			return nil, err
		}
		return &rules.Ruleset{IPSets: sets}, nil
	}
	return nfttext.Parse(name, data, o)
}
