package redact

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
)

// hostileLines are lines on which a careless search takes time with the square
// of their length.
func hostileLines(n int) map[string]string {
	repeat := func(s string) string { return strings.Repeat(s, n/len(s)) }
	return map[string]string{
		"one letter": repeat("a"), "digits and dots": repeat("1."), "hex and colons": repeat("ab:"), "dashes": repeat("1-"), "schemes": repeat("://"),
		"URLs": repeat("a://b:c@"), "at signs": repeat("a:b@"), "keys": repeat("password="), "keys and colons": repeat("password:$"), "quotes": repeat(`token="`),
		"quotes of two kinds": repeat(`key_secret='"`), "parameters": repeat("&a=b;pwd="), "PEM": repeat("-----BEGIN PRIVATE KEY"), "PEM ends": repeat("-----BEGIN PRIVATE KEY----- -----END "),
		"base64": repeat("aGVsbG8gd29ybGQ="), "tokens": repeat("ghp_0123456789"), "headers": repeat("Authorization: Basic "), "homes": repeat("/home/"), "names": repeat("acmecorp-"),
		"half names": repeat("acmecor"), "secret": repeat("hunter2hunter2"), "half secrets": repeat("hunter2hunter3"), "spaces": repeat("password "), "nul": repeat("\x00"), "slashes": repeat("a/"),
		"colons": repeat(":"), "double colons": repeat("::1-"), "masks": repeat("10.0.0.0/8-"), "escapes": repeat(`password=\"`),
	}
}

// The work for a text grows as its length does: what is counted are bytes looked
// at by the finder and steps of the matcher.
func TestWorkIsLinear(t *testing.T) {
	work := func(s string) int {
		r := testRedactor()
		r.names.see(hostName, "acmecorp")
		r.seeSecret("hunter2hunter2")
		r.prepare()
		before := r.matcher.steps
		_ = r.Text(s)
		return r.finder.steps + r.matcher.steps - before
	}
	short, long := hostileLines(20_000), hostileLines(200_000)
	for name := range short {
		if a, b := work(short[name]), work(long[name]); b > 12*a+1000 || b > 40*len(long[name]) {
			t.Errorf("%s: %d steps for %d bytes, %d for %d", name, a, len(short[name]), b, len(long[name]))
		}
	}
}

// Ten megabytes in a single line are worth no more than a second; here they are
// only gone through, so that a search that never ends is found.
func BenchmarkLongLine(b *testing.B) {
	for name, s := range hostileLines(10 << 20) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				r := testRedactor()
				r.names.see(hostName, "acmecorp")
				r.seeSecret("hunter2hunter2")
				r.prepare()
				_ = r.Text(s)
			}
		})
	}
}

// snapshotOf is a recording of a process and a few lines.
func snapshotOf(args, lines []string) []byte {
	info, _ := json.Marshal(host.Info{OS: "linux", Hostname: "shop7.acme.com"})
	processes, _ := json.Marshal([]host.Process{{PID: 1, Name: "x", Args: args, User: "joe7", Cwd: "/home/joe7"}})
	units, _ := json.Marshal([]host.Unit{{Name: "shop.service", Log: lines}})
	answer := func(question string, value []byte) map[string]any {
		return map[string]any{"view": 0, "question": question, "args": nil, "answer": json.RawMessage(value)}
	}
	doc, _ := json.Marshal(map[string]any{"schema": replay.Schema, "answers": []any{answer("info", info), answer("processes", processes), answer("units", units)}})
	return doc
}

// What was found in one place is gone from all, and one name is always the same.
func TestSnapshot(t *testing.T) {
	in := snapshotOf([]string{"app", "--password", "hunter2x", "--host", "shop7.acme.com"}, []string{"login with hunter2x from shop7.acme.com", "aHVudGVyMng=", "joe7 in /home/joe7/x"})
	r := New(All, nil)
	out, err := r.Snapshot(in, "https://shop7.acme.com/")
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"hunter2x", "shop7", "acme", "joe7", "HVudGVyMn"} {
		if bytes.Contains(out, []byte(gone)) {
			t.Errorf("%s is still there:\n%s", gone, out)
		}
	}
	name := strings.TrimSuffix(strings.TrimPrefix(r.Target("https://shop7.acme.com/"), "https://"), "/")
	if n := bytes.Count(out, []byte(name)); n != 3 {
		t.Errorf("%s is there %d times, want 3:\n%s", name, n, out)
	}
	if left := r.Left(in); len(left) < 3 {
		t.Errorf("of the original only %q would be found", left)
	}
	if left := r.Left(out); len(left) > 0 {
		t.Errorf("%q is still there", left)
	}
	other, err := New(All, nil).Snapshot(in)
	if err != nil || bytes.Equal(out, other) {
		t.Errorf("two keys give the same: %v", err)
	}
	summary, _ := json.Marshal(r.Summary())
	if left := r.Left(summary); len(left) > 0 || !bytes.Contains(summary, []byte("redacted-")) {
		t.Errorf("%q is in the summary %s", left, summary)
	}
}

// With some keys a network becomes another of the recording, or itself: that is no
// address that was left, and one that was is found all the same.
func TestLeftWithManyKeys(t *testing.T) {
	in := snapshotOf(nil, []string{"10.99.0.0/16 via 10.8.0.1, 10.8.0.0/24, 10.77.0.0/24 on 10.77.0.1"})
	found, keys := 0, 3000
	for i := range keys {
		key := make([]byte, KeySize)
		key[0], key[1] = byte(i), byte(i>>8)
		r := New(All, key)
		out, err := r.Snapshot(in, "10.99.0.1:8080")
		if err != nil {
			t.Fatal(err)
		}
		if left := r.Left(out); len(left) > 0 {
			t.Errorf("key %d: %q is still in %s", i, left, out)
		}
		if len(r.Left(in)) >= 4 {
			found++
		}
	}
	if found < keys*9/10 {
		t.Errorf("the original's addresses are found with %d of %d keys", found, keys)
	}
}

func TestLevels(t *testing.T) {
	in := snapshotOf([]string{"app", "--password", "hunter2x"}, []string{"10.1.2.3 hunter2x"})
	out, err := New(Secrets, nil).Snapshot(in)
	if err != nil || bytes.Contains(out, []byte("hunter2x")) || !bytes.Contains(out, []byte("10.1.2.3")) || !bytes.Contains(out, []byte("acme")) {
		t.Errorf("secrets: %v\n%s", err, out)
	}
	if out, err := New(None, nil).Snapshot(in); err != nil || !bytes.Equal(in, out) {
		t.Errorf("none: %v\n%s", err, out)
	}
	for _, l := range []Level{None, Secrets, All} {
		if got, err := ParseLevel(l.String()); err != nil || got != l {
			t.Errorf("%s: %v, %v", l, got, err)
		}
	}
	if _, err := ParseLevel("some"); err == nil {
		t.Error("there is no level some")
	}
	if New(0, nil).level != All {
		t.Error("the zero level is not the one that replaces the most")
	}
	if _, err := New(All, nil).Snapshot([]byte("{}")); err == nil {
		t.Error("a file that is no recording was redacted")
	}
}

// Pseudonyms stay what they are if they are replaced again.
func TestPseudonymsStay(t *testing.T) {
	r := testRedactor()
	for kind := range nameKinds {
		once := r.names.pseudonym(kind, "some-name7")
		if twice := r.names.pseudonym(kind, once); twice != once {
			t.Errorf("%s became %s", once, twice)
		}
	}
	secret := r.instead("hunter2")
	if again := r.Text("password=" + secret); again != "password="+secret {
		t.Errorf("password=%s became %s", secret, again)
	}
}

// Whatever a text is, redaction ends, and what it leaves are valid strings.
func FuzzText(f *testing.F) {
	for _, s := range hostileLines(60) {
		f.Add(s, "--password=x")
	}
	f.Add("postgres://a:b@[fd00::5%eth0]:1/x 10.0.0.5-10.0.0.9 aa:bb:cc:dd:ee:ff", "-pX")
	f.Fuzz(func(t *testing.T, line, arg string) {
		in := snapshotOf([]string{"mysql", arg, line}, []string{line, arg})
		r := New(All, make([]byte, KeySize))
		out, err := r.Snapshot(in, line)
		if err != nil {
			return
		}
		if _, err := replay.Open(bytes.NewReader(out)); err != nil {
			t.Fatalf("can't be read: %v", err)
		}
		_ = r.Target(line)
		_ = r.Left(out)
	})
}

// Rules as a hostile recording may have them: nothing of theirs is trusted.
func FuzzSnapshot(f *testing.F) {
	f.Add([]byte(`{"Tables":[{"Backend":"nft","Family":1,"Name":"t","Chains":[{"Name":"c","Rules":[{"Exprs":[{"payload":{"Base":1,"Offset":12,"Len":8}},{"bitwise":{"Len":8,"Mask":"//8="}},{"cmp":{"Data":"CgAAAQ=="}},
		{"range":{"From":"CgAA","To":"Cw=="}},{"lookup":{"Set":"s","HasDest":true,"Dest":250}},{"nat":{"Family":2,"HasAddrMin":true,"AddrMin":255}},{"match":{"Ext":"string","Data":"AAAA"}}]}]}],
		"Sets":[{"Name":"s","KeyLen":4,"KeyType":7,"Interval":true,"Elements":[{"Key":"CgAAAQ=="},{"Key":"Cg==","End":true},{"Key":"CgAACQ==","End":true}]}]}]}`))
	f.Fuzz(func(t *testing.T, rules []byte) {
		if !json.Valid(rules) {
			return
		}
		doc := append([]byte(`{"schema":"portwhy.snapshot/v1","answers":[{"question":"info","args":null,"answer":{}},{"question":"firewall","args":null,"answer":{"Rules":`), rules...)
		out, err := New(All, make([]byte, KeySize)).Snapshot(append(doc, "}}]}"...))
		if err != nil {
			return
		}
		if _, err := replay.Open(bytes.NewReader(out)); err != nil {
			t.Fatalf("can't be read: %v", err)
		}
	})
}
