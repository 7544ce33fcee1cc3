package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// declared writes what was found, one a line.
func declared(list []Declared) string {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%d:%d %s %s %s:%d", d.Line, d.Column, d.Service, d.Network, d.Address, d.Port)
		if d.Target != 0 {
			fmt.Fprintf(&b, " -> %d", d.Target)
		}
		if d.Replicas > 1 {
			fmt.Fprintf(&b, " x%d", d.Replicas)
		}
		if d.Doubt != "" {
			b.WriteString(" ?")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

const manifests = `# a comment
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
data:
  text: |
    hostPort: 1
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
spec:
  type: NodePort
  externalIPs: [192.0.2.7, "2001:db8::7"]
  ports:
    - name: http
      port: 80
      nodePort: 30080
    - {port: 53, protocol: UDP, nodePort: 30053}
    - port: 81
---
apiVersion: v1
kind: Service
metadata: {name: inside}
spec:
  type: ClusterIP
  ports: [{port: 80, nodePort: 30081}]
--- # the pods
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge}
spec:
  replicas: 3
  template:
    spec:
      initContainers:
        - {name: wait, ports: [{containerPort: 9, hostPort: 9}]}
        - {name: sidecar, restartPolicy: Always, ports: [{containerPort: 15000, hostPort: 15000}]}
      containers:
        - name: nginx
          ports:
            - containerPort: 8080
              hostPort: 80
              hostIP: 10.0.0.1
            - containerPort: 9113
---
{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "j"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {"hostNetwork": true}}}}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: exporter}
spec:
  replicas: 7
  template:
    spec:
      hostNetwork: true
      containers:
        - ports: [{containerPort: 9100}]
---
apiVersion: v1
kind: List
items:
  - kind: Pod
    metadata: {name: p}
    spec:
      containers:
        - ports: &ports [{containerPort: 1, hostPort: 1}]
        - ports: *ports
`

func TestKubernetes(t *testing.T) {
	got, err := Kubernetes(File{Path: "m.yaml", Data: []byte(manifests)})
	if err != nil {
		t.Fatal(err)
	}
	const want = `20:17 service/shop/web tcp :30080 -> 80
19:13 service/shop/web tcp 192.0.2.7:80 ?
19:13 service/shop/web tcp 2001:db8::7:80 ?
21:43 service/shop/web udp :30053 -> 53
21:14 service/shop/web udp 192.0.2.7:53 ?
21:14 service/shop/web udp 2001:db8::7:53 ?
22:13 service/shop/web tcp 192.0.2.7:81 ?
22:13 service/shop/web tcp 2001:db8::7:81 ?
40:91 deployment/edge tcp :15000 -> 15000 x3
45:25 deployment/edge tcp 10.0.0.1:80 -> 8080 x3
49:145 cronjob/j tcp :0 ?
60:35 daemonset/exporter tcp :9100 -> 9100
69:55 pod/p tcp :1 -> 1
69:55 pod/p tcp :1 -> 1
`
	if s := declared(got); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
	lines := strings.Split(manifests, "\n")
	for _, d := range got {
		if rest := lines[d.Line-1][d.Column-1:]; !strings.HasPrefix(rest, fmt.Sprint(d.Port)) && d.Port != 0 {
			t.Errorf("%d:%d: %q stands there, not %d", d.Line, d.Column, rest, d.Port)
		}
	}
}

func TestKubernetesFails(t *testing.T) {
	laughs := "kind: Pod\nx0: &x0 [{hostPort: 1}]\n"
	for i := 1; i < 30; i++ {
		laughs += fmt.Sprintf("x%d: &x%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 9))
	}
	fan := "kind: Pod\nx: &c {ports: [" + strings.Repeat("{hostPort: 1, containerPort: 1}, ", 3000) + "]}\nspec: {containers: [" + strings.Repeat("*c, ", 3000) + "]}\n"
	for _, c := range []struct{ name, text, want string }{
		{"no YAML", "a: 1\n---\nkind: Pod\nspec: {hostPort: [\n", "line 5, column 1: is no YAML"},
		{"template", "kind: Pod\nspec:\n  containers:\n  - ports: [{hostPort: {{ .Values.port }} }]\n", "helm template"},
		{"no port", "kind: Pod\nspec:\n  containers:\n  - ports: [{hostPort: http}]\n", "line 4, column 24: hostPort is no port"},
		{"deep", "hostPort: " + strings.Repeat("[", 1000), "depth"},
		{"large", strings.Repeat("#", MaxManifests+1), "is larger than"},
		{"large manifest", "kind: Pod\nhostPort: 1\n" + strings.Repeat("# x\n", maxManifest/4), "one manifest is larger"},
		{"many", strings.Repeat("---\nhostPort: 1\n", maxManifestsIn+1), "more than 10000 manifests"},
		{"fan of aliases", fan, "aliases make more than"},
		{"laughs", laughs + "spec: {containers: *x29}\n", ""},
	} {
		_, err := Kubernetes(File{Path: "m.yaml", Data: []byte(c.text)})
		var bad *SyntaxError
		if c.want == "" && err == nil {
			continue
		}
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func FuzzKubernetes(f *testing.F) {
	f.Add([]byte(manifests))
	f.Add([]byte("kind: Pod\nspec: &a {hostNetwork: true, containers: [*a]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Kubernetes(File{Path: "f", Data: data})
		if err != nil {
			return
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, d := range list {
			if d.Line < 1 || d.Line > lines || d.Column < 1 {
				t.Errorf("%d:%d in %d lines", d.Line, d.Column, lines)
			}
		}
	})
}
