package replay

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

// Every question that a recorder puts has its types here.
func TestDocumentKnowsEveryQuestion(t *testing.T) {
	source, err := os.ReadFile("recorder.go")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`ask\(ctx, r, "([a-z-]+)"`).FindAllSubmatch(source, -1)
	if len(asked) < 30 {
		t.Fatalf("found only %d questions in recorder.go", len(asked))
	}
	for _, m := range asked {
		if _, answer, known := values(string(m[1])); !known || answer == nil {
			t.Errorf("question %s has no types", m[1])
		}
	}
}

func TestDocumentIsTheRecording(t *testing.T) {
	ctx := t.Context()
	r := Record(&stub{asked: map[string]int{}})
	_, _ = r.Info(ctx)
	_, _ = r.Sockets(ctx, host.SocketQuery{Network: "tcp", Port: 80})
	_, _ = r.Process(ctx, 1)
	_, _ = r.Process(ctx, 2)
	_, _ = r.Holders(ctx, host.HolderQuery{Every: true})
	_, _ = r.Cgroup(ctx, "/a")
	_, _ = r.Routes(ctx)
	in, _ := r.Enter(ctx, host.Namespace{Inode: 12})
	_, _ = in.Process(ctx, 1)
	var before, after bytes.Buffer
	if err := r.Save(&before, "test"); err != nil {
		t.Fatal(err)
	}
	d, err := Parse(before.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Save(&after); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before.Bytes(), after.Bytes()) {
		t.Errorf("saved again:\n%s\nwas:\n%s", after.Bytes(), before.Bytes())
	}
}

// What this version doesn't know is left out, and said.
func TestDocumentLeavesOutTheUnknown(t *testing.T) {
	d, err := Parse([]byte(`{"schema":"portwhy.snapshot/v1","answers":[{"question":"info","args":null,"answer":{"OS":"linux","Later":"secret"}},
		{"question":"later","args":null,"answer":"secret"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := d.Save(&out); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out.Bytes(), []byte("secret")) || len(d.Left) != 1 || d.Left[0] != "later" {
		t.Errorf("left out %q:\n%s", d.Left, out.Bytes())
	}
	if !json.Valid(out.Bytes()) {
		t.Error("no JSON")
	}
}
