package report

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// What an archive may be at most.
const (
	maxPacked   = 128 << 20 // bytes of the file
	maxUnpacked = 640 << 20 // bytes that it decompresses to
	// maxRatio is how much more that may be than the file; the facts of a host
	// with 50,000 like rules compress 130 times. A small file may always have
	// smallUnpacked.
	maxRatio      = 1000
	smallUnpacked = 16 << 20
	maxEntries    = 64
)

// Archive is a report that was read, all of it.
type Archive struct {
	Manifest Manifest
	// Packed is the size of the file in bytes.
	Packed int
	files  map[string][]byte
}

// File returns an entry.
func (a *Archive) File(name string) []byte { return a.files[name] }

// Magic is how a zstd frame begins (RFC 8878, section 3.1.1), and so a report.
func Magic(begin []byte) bool { return bytes.HasPrefix(begin, []byte{0x28, 0xb5, 0x2f, 0xfd}) }

// Read takes an archive, all of which it holds against the manifest. The error
// says why one is refused.
func Read(r io.Reader) (*Archive, error) {
	packed, err := io.ReadAll(io.LimitReader(r, maxPacked+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the report: %w", err)
	case len(packed) > maxPacked:
		return nil, fmt.Errorf("is larger than a report may be (%d MB)", maxPacked>>20)
	case !Magic(packed):
		return nil, errors.New("is no report: it doesn't begin as a zstd file does")
	}
	if err := oneFrame(packed); err != nil {
		return nil, err
	}
	plain, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	defer plain.Close()
	most := min(maxUnpacked, max(smallUnpacked, maxRatio*int64(len(packed))))
	files, err := unpack(&bounded{plain, most})
	if err != nil {
		return nil, err
	}
	a := &Archive{Packed: len(packed), files: files}
	if err := a.check(); err != nil {
		return nil, err
	}
	return a, nil
}

// oneFrame wants one zstd frame and nothing behind it, by its headers alone: a
// second one, or one to be skipped, could hold what nobody sees. See RFC 8878,
// section 3.1.1.
func oneFrame(packed []byte) error {
	var h zstd.Header
	if err := h.Decode(packed); err != nil {
		return fmt.Errorf("decompressing: %w", err)
	}
	switch {
	case h.DictionaryID != 0:
		return errors.New("is compressed with a dictionary, which a report never is")
	case h.WindowSize > window:
		return fmt.Errorf("wants %d MB of memory to be decompressed, and a report takes %d", h.WindowSize>>20, window>>20)
	}
	const blockHeader, runBlock, checksum = 3, 1, 4
	for rest := packed[h.HeaderSize:]; len(rest) >= blockHeader; {
		block := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16
		size := block >> 3
		if block>>1&3 == runBlock {
			size = 1
		}
		rest = rest[blockHeader:]
		if size > len(rest) {
			break
		}
		rest = rest[size:]
		if block&1 == 0 {
			continue
		}
		if h.HasCheckSum {
			if len(rest) < checksum {
				break
			}
			rest = rest[checksum:]
		}
		if len(rest) > 0 {
			return fmt.Errorf("has %d bytes behind its end", len(rest))
		}
		return nil
	}
	return errors.New("is cut off: its compressed data has no end")
}

// bounded ends in an error where a reader would give more than is allowed.
type bounded struct {
	from io.Reader
	left int64
}

var errBomb = fmt.Errorf("decompresses to more than a report may (%d MB, and %d times its size)", maxUnpacked>>20, maxRatio)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errBomb
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errBomb
	}
	return n, err
}

// unpack reads the entries.
func unpack(r io.Reader) (map[string][]byte, error) {
	archive := tar.NewReader(r)
	files := map[string][]byte{}
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nothingMore(r)
		}
		if err != nil {
			return nil, fmt.Errorf("as a tar archive: %w", err)
		}
		if len(files) == maxEntries {
			return nil, errors.New("has too many entries")
		}
		if err := refuse(h, files); err != nil {
			return nil, err
		}
		doc, err := io.ReadAll(archive)
		if err != nil {
			return nil, fmt.Errorf("its entry %s: %w", h.Name, err)
		}
		files[h.Name] = doc
	}
}

// nothingMore wants zeros only, as tar programs pad with.
func nothingMore(r io.Reader) error {
	rest := make([]byte, 4096)
	for {
		n, err := r.Read(rest)
		if len(bytes.Trim(rest[:n], "\x00")) > 0 {
			return errors.New("has data behind the archive's end")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("as a tar archive: %w", err)
		}
	}
}

// refuse says why an entry is none of a report's.
func refuse(h *tar.Header, have map[string][]byte) error {
	name := h.Name
	bad := func(format string, args ...any) error {
		return fmt.Errorf("its entry %.100q %s", name, fmt.Sprintf(format, args...))
	}
	switch {
	case h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink:
		return bad("is a link to %.100q", h.Linkname)
	case h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock || h.Typeflag == tar.TypeFifo:
		return bad("is a device or a FIFO")
	case h.Typeflag == tar.TypeDir:
		return bad("is a directory")
	case h.Typeflag != tar.TypeReg:
		return bad("is of the type %q, and no plain file", h.Typeflag)
	case strings.HasPrefix(name, "/"):
		return bad("has an absolute path")
	case strings.ContainsRune(name, '\\'):
		return bad("has a backslash in its name")
	case len(name) > 1 && name[1] == ':':
		return bad("begins with a drive's letter")
	case name == ".." || strings.HasPrefix(name, "../") || strings.Contains(name, "/.."):
		return bad("leads out of the archive")
	}
	most, known := mostOf(name)
	if !known {
		if _, known = mostOf(strings.ToLower(name)); known {
			return bad("is another's name but for its case")
		}
		return bad("belongs to no report")
	}
	if _, had := have[name]; had {
		return bad("is there twice")
	}
	if h.Size > most {
		return bad("has %d MB, and may have %d", h.Size>>20, most>>20)
	}
	for key := range h.PAXRecords {
		if key != "mtime" && key != "atime" && key != "ctime" {
			return bad("has the attribute %.60q", key)
		}
	}
	return nil
}

// check holds the entries against the manifest.
func (a *Archive) check() error {
	doc, ok := a.files[ManifestName]
	if !ok {
		return fmt.Errorf("has no %s", ManifestName)
	}
	m := &a.Manifest
	if err := json.Unmarshal(doc, m); err != nil {
		return fmt.Errorf("its %s: %w", ManifestName, err)
	}
	if m.Schema != Schema {
		return fmt.Errorf("its %s is a %.60q; this version reads %q", ManifestName, m.Schema, Schema)
	}
	listed := map[string]bool{}
	for _, f := range m.Files {
		have, ok := a.files[f.Name]
		switch {
		case f.Name == ManifestName || listed[f.Name]:
			return fmt.Errorf("its %s lists %.60q, which it must not, or twice", ManifestName, f.Name)
		case !ok:
			return fmt.Errorf("has no %.60q, which its %s lists", f.Name, ManifestName)
		case int64(len(have)) != f.Size || sum(have) != f.SHA256:
			return fmt.Errorf("its %s isn't as the %s says: it was changed or damaged", f.Name, ManifestName)
		}
		listed[f.Name] = true
	}
	for _, c := range contents {
		if _, ok := a.files[c.name]; !ok {
			return fmt.Errorf("has no %s", c.name)
		}
		if !listed[c.name] {
			return fmt.Errorf("has a %s that its %s doesn't list", c.name, ManifestName)
		}
	}
	if !slices.Contains([]string{"none", "secrets", "all"}, m.Redaction) {
		return fmt.Errorf("its %s says that %.20q was redacted; it is none, secrets or all", ManifestName, m.Redaction)
	}
	if len(m.Asked.Targets) > MaxTargets {
		return fmt.Errorf("asks about %d targets, and may about %d", len(m.Asked.Targets), MaxTargets)
	}
	return nil
}
