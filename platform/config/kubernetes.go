package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/portwhy/portwhy/platform/host"
)

// The bounds of manifests. A bundle of custom resource definitions has some MB.
const (
	MaxManifests   = 16 << 20
	maxManifest    = 1 << 20 // of one document that has ports
	maxManifestsIn = 10_000
	maxYAMLDepth   = 64
	maxYAMLSteps   = 200_000 // values looked at in one document, aliases each time
)

// Kubernetes reads manifests: node ports and external addresses of services,
// host ports of pods and of what makes pods, and the container ports of those
// that have the host's network. Documents of other kinds are not looked at.
func Kubernetes(file File) ([]Declared, error) {
	if len(file.Data) > MaxManifests {
		return nil, &SyntaxError{Why: fmt.Sprintf("is larger than %d bytes", MaxManifests)}
	}
	var list []Declared
	count := 0
	for _, d := range documents(file.Data) {
		if !withPorts(d.text) {
			continue
		}
		if count++; count > maxManifestsIn {
			return nil, &SyntaxError{Line: d.line, Column: 1, Why: fmt.Sprintf("more than %d manifests in one file", maxManifestsIn)}
		}
		if len(d.text) > maxManifest {
			return nil, &SyntaxError{Line: d.line, Column: 1, Why: fmt.Sprintf("one manifest is larger than %d bytes", maxManifest)}
		}
		k := &kubernetes{file: file, first: d.line - 1}
		if err := k.document(d.text); err != nil {
			return nil, err
		}
		if list = append(list, k.list...); len(list) > maxClaims {
			return nil, &SyntaxError{Line: d.line, Column: 1, Why: fmt.Sprintf("more than %d ports", maxClaims)}
		}
	}
	return list, nil
}

// yamlDocument is one document of a file, and the line on which it begins.
type yamlDocument struct {
	line int
	text []byte
}

// documents splits a file at lines that begin with ---, which end a document
// wherever they stand (YAML 1.2.2, 9.1.2).
func documents(data []byte) []yamlDocument {
	var list []yamlDocument
	line, first, start := 1, 1, 0
	for at := 0; at < len(data); {
		end := bytes.IndexByte(data[at:], '\n')
		next := len(data)
		if end >= 0 {
			next = at + end + 1
		}
		if row := data[at:next]; at > start && bytes.HasPrefix(row, []byte("---")) && (len(row) == 3 || row[3] == ' ' || row[3] == '\n' || row[3] == '\r' || row[3] == '\t') {
			list = append(list, yamlDocument{first, data[start:at]})
			start, first = at, line
		}
		at = next
		line++
	}
	return append(list, yamlDocument{first, data[start:]})
}

// withPorts reports whether a document can be of a kind that is read.
func withPorts(text []byte) bool {
	return bytes.Contains(text, []byte("nodePort")) || bytes.Contains(text, []byte("externalIPs")) || bytes.Contains(text, []byte("hostPort")) ||
		bytes.Contains(text, []byte("hostNetwork"))
}

// kubernetes reads one document.
type kubernetes struct {
	file  File
	first int // lines before the document
	steps int
	list  []Declared
	err   error // the first one
}

func (k *kubernetes) document(text []byte) error {
	load, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxYAMLDepth))))
	if err != nil {
		return &SyntaxError{Why: err.Error()}
	}
	var doc yaml.Node
	if err := load.Load(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		why := "is no YAML: " + err.Error()
		e := &SyntaxError{Line: k.first + 1}
		var l *yaml.LoadError
		if errors.As(err, &l) && l.Mark.Line > 0 {
			e.Line, e.Column, why = k.first+l.Mark.Line, l.Mark.Column, "is no YAML: "+l.Message
		}
		if bytes.Contains(text, []byte("{{")) {
			why += "; a chart has to be rendered first (helm template)"
		}
		e.Why = why
		return e
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		k.object(doc.Content[0], 0)
	}
	if k.steps > maxYAMLSteps {
		return &SyntaxError{Line: k.first + 1, Column: 1, Why: fmt.Sprintf("aliases make more than %d values of one manifest", maxYAMLSteps)}
	}
	return k.err
}

// get follows keys; nil if one isn't there.
func (k *kubernetes) get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		n = k.plain(n)
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		var next *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k.steps++; k.steps > maxYAMLSteps {
				return nil
			}
			if n.Content[i].Value == key {
				next = n.Content[i+1]
			}
		}
		n = next
	}
	return k.plain(n)
}

// plain follows an alias.
func (k *kubernetes) plain(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// items are the members of a list.
func (k *kubernetes) items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	if k.steps += len(n.Content); k.steps > maxYAMLSteps {
		return nil
	}
	return n.Content
}

func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// podSpecs is where each kind has the pod's spec.
var podSpecs = map[string][]string{
	"Pod": {"spec"}, "Deployment": {"spec", "template", "spec"}, "StatefulSet": {"spec", "template", "spec"}, "DaemonSet": {"spec", "template", "spec"},
	"ReplicaSet": {"spec", "template", "spec"}, "ReplicationController": {"spec", "template", "spec"}, "Job": {"spec", "template", "spec"},
	"CronJob": {"spec", "jobTemplate", "spec", "template", "spec"},
}

func (k *kubernetes) object(n *yaml.Node, depth int) {
	n = k.plain(n)
	kind := text(k.get(n, "kind"))
	name := host.Clean([]byte(text(k.get(n, "metadata", "name"))), 253)
	if namespace := text(k.get(n, "metadata", "namespace")); namespace != "" {
		name = host.Clean([]byte(namespace), 63) + "/" + name
	}
	name = strings.ToLower(kind) + "/" + name
	switch path := podSpecs[kind]; {
	case kind == "Service":
		k.service(name, k.get(n, "spec"))
	case path != nil:
		replicas, err := strconv.Atoi(text(k.get(n, "spec", "replicas")))
		if err != nil || kind == "DaemonSet" || kind == "Pod" {
			replicas = 1
		}
		k.pod(name, k.get(n, path...), replicas)
	case strings.HasSuffix(kind, "List") && depth == 0:
		for _, item := range k.items(k.get(n, "items")) {
			k.object(item, depth+1)
		}
	}
}

func (k *kubernetes) service(name string, spec *yaml.Node) {
	kind := text(k.get(spec, "type"))
	addresses := k.items(k.get(spec, "externalIPs"))
	for _, p := range k.items(k.get(spec, "ports")) {
		network := protocol(k.get(p, "protocol"))
		if node := k.get(p, "nodePort"); node != nil && (kind == "NodePort" || kind == "LoadBalancer") {
			k.claim(name, "nodePort", network, "", node, text(k.get(p, "port")), 1, "")
		}
		for _, a := range addresses {
			k.claim(name, "externalIPs", network, text(k.plain(a)), k.get(p, "port"), "", 1, "it is taken by rules on nodes that have the address, not by a socket")
		}
	}
}

func (k *kubernetes) pod(name string, spec *yaml.Node, replicas int) {
	shared := text(k.get(spec, "hostNetwork")) == "true"
	found := false
	for _, group := range []string{"initContainers", "containers"} {
		for _, c := range k.items(k.get(spec, group)) {
			if group == "initContainers" && text(k.get(c, "restartPolicy")) != "Always" {
				continue // it has ended before the others start
			}
			for _, p := range k.items(k.get(c, "ports")) {
				network := protocol(k.get(p, "protocol"))
				at, target := k.get(p, "hostPort"), k.get(p, "containerPort")
				if shared && at == nil {
					at = target
				}
				if at != nil {
					found = true
					k.claim(name, "hostPort", network, text(k.get(p, "hostIP")), at, text(target), replicas, "")
				}
			}
		}
	}
	if shared && !found {
		at := k.get(spec, "hostNetwork")
		claim := k.file.claim("kubernetes", "hostNetwork", k.first+at.Line, "hostNetwork: true")
		k.list = append(k.list, Declared{Claim: claim, Service: name, Column: at.Column, Replicas: replicas, Doubt: "it has the host's network and declares no port"})
	}
}

func protocol(n *yaml.Node) string {
	if p := strings.ToLower(text(n)); p == "udp" || p == "sctp" {
		return p
	}
	return "tcp"
}

func (k *kubernetes) claim(name, key, network, address string, at *yaml.Node, target string, replicas int, doubt string) {
	if at == nil || len(k.list) > maxClaims {
		return
	}
	n, ok := port(text(at))
	if !ok {
		if text(at) != "0" && k.err == nil { // 0 is none
			k.err = &SyntaxError{Line: k.first + at.Line, Column: at.Column, Why: fmt.Sprintf("%s is no port from 1 to 65535; a chart has to be rendered first (helm template)", key)}
		}
		return
	}
	claim := k.file.claim("kubernetes", key, k.first+at.Line, key+": "+at.Value)
	claim.Network, claim.Address, claim.Port = network, host.Clean([]byte(address), 64), n
	inner, _ := port(target)
	k.list = append(k.list, Declared{Claim: claim, Service: name, Column: at.Column, Target: inner, Replicas: replicas, Doubt: doubt})
}
