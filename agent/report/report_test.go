package report

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/portwhy/portwhy/diagnose"
)

var at = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func sample() (Manifest, map[string][]byte) {
	m := Manifest{Tool: diagnose.Tool{Name: "portwhy", Version: "v1"}, At: at, Redaction: "all", Asked: Asked{Question: diagnose.AskConnect, Targets: []string{"80"}}}
	return m, map[string][]byte{HTMLName: []byte("<!DOCTYPE html>"), MarkdownName: []byte("### x"), JSONName: []byte("{}"), RedactionName: []byte("none"), SnapshotName: []byte("{}")}
}

func packed(t testing.TB) []byte {
	t.Helper()
	doc, err := Pack(sample())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestPackAndRead(t *testing.T) {
	doc := packed(t)
	a, err := Read(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	want, files := sample()
	if a.Manifest.Redaction != want.Redaction || a.Manifest.Asked.Targets[0] != "80" || !a.Manifest.At.Equal(at) || a.Manifest.Schema != Schema || a.Packed != len(doc) {
		t.Errorf("read %+v", a.Manifest)
	}
	for name, content := range files {
		if !bytes.Equal(a.File(name), content) {
			t.Errorf("%s holds %q", name, a.File(name))
		}
	}
	if again := packed(t); !bytes.Equal(doc, again) {
		t.Error("the same report makes another file")
	}
	// Who made it and when its parts were made is nobody's business.
	r := tar.NewReader(bytes.NewReader(plainOf(t, doc)))
	for h, err := r.Next(); err == nil; h, err = r.Next() {
		if h.Mode != 0o600 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(at) || h.Typeflag != tar.TypeReg {
			t.Errorf("%s: %+v", h.Name, h)
		}
	}
}

func TestPackWantsAllFiles(t *testing.T) {
	for _, change := range []func(*Manifest, map[string][]byte){
		func(_ *Manifest, f map[string][]byte) { delete(f, SnapshotName) },
		func(_ *Manifest, f map[string][]byte) { f["extra"] = nil },
		func(_ *Manifest, f map[string][]byte) { delete(f, JSONName); f["x"] = nil },
		func(_ *Manifest, f map[string][]byte) { f[RedactionName] = make([]byte, 17<<20) },
		func(m *Manifest, _ map[string][]byte) { m.Asked.Targets = make([]string, MaxTargets+1) },
	} {
		m, f := sample()
		change(&m, f)
		if _, err := Pack(m, f); err == nil {
			t.Errorf("packs %v", maps.Keys(f))
		}
	}
}

func plainOf(t testing.TB, doc []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	plain, err := d.DecodeAll(doc, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func compress(t testing.TB, plain []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(window), zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(plain, nil)
}

// entry is one of an archive that somebody else made.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600}, content}
}

func tarOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sound are the entries of an archive that is taken.
func sound(t testing.TB) []entry {
	t.Helper()
	var list []entry
	r := tar.NewReader(bytes.NewReader(plainOf(t, packed(t))))
	for h, err := r.Next(); err == nil; h, err = r.Next() {
		var content bytes.Buffer
		if _, err := content.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		list = append(list, file(h.Name, content.String()))
	}
	return list
}

// manifest changes the manifest of entries.
func manifest(t testing.TB, list []entry, change func(*Manifest)) []entry {
	t.Helper()
	var m Manifest
	if err := json.Unmarshal([]byte(list[0].content), &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	doc, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	list[0] = file(ManifestName, string(doc))
	return list
}

func TestReadRefuses(t *testing.T) {
	with := func(e ...entry) []byte { return compress(t, tarOf(t, append(sound(t), e...))) }
	typed := func(flag byte, name, link string) entry {
		return entry{tar.Header{Typeflag: flag, Name: name, Linkname: link, Mode: 0o600}, ""}
	}
	of := func(change func(*Manifest)) []byte { return compress(t, tarOf(t, manifest(t, sound(t), change))) }
	good := packed(t)
	if _, err := Read(bytes.NewReader(with())); err != nil {
		t.Fatalf("the same entries by another program: %v", err)
	}
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	for _, c := range []struct {
		name string
		doc  []byte
		why  string
	}{
		{"nothing", nil, "is no report"},
		{"another file", []byte("PK\x03\x04 and so on"), "is no report"},
		{"a magic number alone", good[:4], "decompressing"},
		{"traversal", with(file("../../etc/cron.d/x", "x")), `"../../etc/cron.d/x" leads out of the archive`},
		{"traversal within", with(file("a/../../x", "x")), "leads out of the archive"},
		{"two dots", with(typed(tar.TypeReg, "..", "")), "leads out of the archive"},
		{"absolute", with(file("/etc/passwd", "x")), "has an absolute path"},
		{"a path with backslashes", with(file(`..\..\x`, "x")), "has a backslash"},
		{"a drive", with(file("C:report.html", "x")), "drive's letter"},
		{"a symbolic link", with(typed(tar.TypeSymlink, "report.txt", "/etc/shadow")), `is a link to "/etc/shadow"`},
		{"a link in a file's place", compress(t, tarOf(t, append([]entry{typed(tar.TypeSymlink, HTMLName, "/etc/shadow")}, sound(t)...))), "is a link"},
		{"a hard link", with(typed(tar.TypeLink, "x", SnapshotName)), "is a link"},
		{"a character device", with(typed(tar.TypeChar, "null", "")), "is a device"},
		{"a block device", with(typed(tar.TypeBlock, "sda", "")), "is a device"},
		{"a FIFO", with(typed(tar.TypeFifo, "pipe", "")), "is a device or a FIFO"},
		{"a directory", with(typed(tar.TypeDir, "x/", "")), "is a directory"},
		{"an unknown type", with(typed('Z', "x", "")), "no plain file"},
		{"twice", with(file(HTMLName, "other")), `"report.html" is there twice`},
		{"twice but for case", with(file("Report.HTML", "other")), "but for its case"},
		{"unknown", with(file("readme.txt", "x")), "belongs to no report"},
		{"in a directory", with(file("a/report.html", "x")), "belongs to no report"},
		{"a dot before", with(file("./report.html", "x")), "belongs to no report"},
		{"control characters", with(file("\x1b[31m", "x")), `"\x1b[31m" belongs to no report`},
		{"an attribute", with(entry{tar.Header{Typeflag: tar.TypeReg, Name: "x", PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "x"}}, ""}), "belongs to no report"},
		{"an attribute of a known file", compress(t, tarOf(t, []entry{{tar.Header{Typeflag: tar.TypeReg, Name: HTMLName, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "x"}}, ""}})), "has the attribute"},
		{"too large an entry", compress(t, tarHeader(t, RedactionName, 17<<20)), "has 17 MB, and may have 16"},
		{"no manifest", compress(t, tarOf(t, sound(t)[1:])), "has no manifest.json"},
		{"no snapshot", compress(t, tarOf(t, sound(t)[:5])), `has no "snapshot"`},
		{"a manifest that isn't JSON", compress(t, tarOf(t, append([]entry{file(ManifestName, "{")}, sound(t)[1:]...))), "unexpected end of JSON"},
		{"another schema", of(func(m *Manifest) { m.Schema = "portwhy.manifest/v2" }), `is a "portwhy.manifest/v2"`},
		{"another hash", of(func(m *Manifest) { m.Files[0].SHA256 = strings.Repeat("0", 64) }), "report.html isn't as the manifest.json says"},
		{"another size", of(func(m *Manifest) { m.Files[4].Size++ }), "snapshot isn't as the manifest.json says"},
		{"listed twice", of(func(m *Manifest) { m.Files = append(m.Files, m.Files[0]) }), "or twice"},
		{"lists itself", of(func(m *Manifest) { m.Files[0].Name = ManifestName }), "which it must not"},
		{"not listed", of(func(m *Manifest) { m.Files = m.Files[1:] }), "doesn't list"},
		{"lists what isn't there", of(func(m *Manifest) { m.Files[0].Name = "x\x1b" }), `has no "x\x1b"`},
		{"an unknown redaction", of(func(m *Manifest) { m.Redaction = "some" }), `"some" was redacted`},
		{"too many targets", of(func(m *Manifest) { m.Asked.Targets = make([]string, MaxTargets+1) }), "1001 targets"},
		{"changed", flipped(t), "isn't as the manifest.json says"},
		{"cut", good[:len(good)-1], "cut off"},
		{"cut in the middle", good[:len(good)/2], "cut off"},
		{"data behind", append(bytes.Clone(good), "more"...), "has 4 bytes behind its end"},
		{"a frame behind", append(bytes.Clone(good), compress(t, []byte("more"))...), "behind its end"},
		{"a hidden frame behind", append(bytes.Clone(good), skippable...), "has 11 bytes behind its end"},
		{"a hidden frame before", append(bytes.Clone(skippable), good...), "is no report"},
		{"data behind the archive", compress(t, append(tarOf(t, sound(t)), "more"...)), "data behind the archive's end"},
		{"a second archive behind", compress(t, append(tarOf(t, sound(t)), tarOf(t, sound(t))...)), "data behind the archive's end"},
		{"an archive that is cut", compress(t, tarOf(t, sound(t))[:700]), "unexpected EOF"},
		{"no archive", compress(t, []byte("hello")), "as a tar archive"},
		{"empty", compress(t, nil), "has no manifest.json"},
	} {
		a, err := Read(bytes.NewReader(c.doc))
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, %v; want %q", c.name, a != nil, err, c.why)
		}
	}
}

// tarHeader is an archive of one entry that says it is large.
func tarHeader(t testing.TB, name string, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// flipped is a sound archive with one bit of a file's content changed.
func flipped(t testing.TB) []byte {
	t.Helper()
	plain := plainOf(t, packed(t))
	plain[bytes.Index(plain, []byte("<!DOCTYPE"))] ^= 1
	return compress(t, plain)
}

// What decompresses to very much is refused before it did.
func TestReadRefusesBombs(t *testing.T) {
	zeros := make([]byte, 64<<20)
	for _, c := range []struct {
		name string
		doc  []byte
		why  string
	}{
		{"zeros behind the archive", compress(t, append(tarOf(t, sound(t)), zeros...)), "decompresses to more"},
		{"a large snapshot of zeros", compress(t, append(tarHeader(t, SnapshotName, int64(len(zeros))), zeros...)), "decompresses to more"},
		{"a wide window", wide(t), "of memory to be decompressed"},
		{"very many headers", compress(t, headers(t, 100_000)), "decompresses to more"},
	} {
		started := time.Now()
		_, err := Read(bytes.NewReader(c.doc))
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s (%d bytes): %v; want %q", c.name, len(c.doc), err, c.why)
		}
		if d := time.Since(started); d > 5*time.Second {
			t.Errorf("%s took %v", c.name, d)
		}
	}
}

// wide is a frame that asks for a window of 64 MB.
func wide(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b, zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 70 {
		if _, err := e.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// headers are extended headers one behind the other, with no entry behind them.
func headers(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "x", PAXRecords: map[string]string{"a.b": "c"}}); err != nil {
		t.Fatal(err)
	}
	one := b.Bytes()[:1024]
	return bytes.Repeat(one, n)
}

// FuzzUnpack begins behind the decompression, which would take most of the time.
func FuzzUnpack(f *testing.F) {
	f.Add(plainOf(f, packed(f)))
	f.Add(tarOf(f, append(sound(f), file("../x", "x"))))
	f.Add(tarOf(f, manifest(f, sound(f), func(m *Manifest) { m.Files = nil })))
	f.Add(tarOf(f, []entry{{tar.Header{Typeflag: tar.TypeReg, Name: HTMLName, PAXRecords: map[string]string{"a.b": "c"}}, ""}}))
	f.Fuzz(func(t *testing.T, doc []byte) {
		files, err := unpack(&bounded{bytes.NewReader(doc), smallUnpacked})
		a := &Archive{files: files}
		if err == nil {
			err = a.check()
		}
		sane(t, a, err)
	})
}

func FuzzRead(f *testing.F) {
	f.Add(packed(f))
	f.Add(append(packed(f), 0x50, 0x2a, 0x4d, 0x18))
	f.Add(compress(f, nil))
	f.Fuzz(func(t *testing.T, doc []byte) {
		a, err := Read(bytes.NewReader(doc))
		sane(t, a, err)
	})
}

// sane wants all of a report or a reason in one line.
func sane(t *testing.T, a *Archive, err error) {
	t.Helper()
	if err != nil {
		if strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("the reason isn't fit to print: %q", err)
		}
		return
	}
	if len(a.files) != len(contents)+1 {
		t.Errorf("%d files", len(a.files))
	}
}
