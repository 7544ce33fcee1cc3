package report

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// window is how far back the compression looks, in bytes: what a reader has to
// keep at hand.
const window = 8 << 20

// Pack writes an archive of the files, which are those of this package's names,
// all of them. It fills in the manifest's schema and its list of files.
func Pack(m Manifest, files map[string][]byte) ([]byte, error) {
	m.Schema, m.Files = Schema, nil
	if m.Asked.Targets == nil {
		m.Asked.Targets = []string{}
	}
	if len(m.Asked.Targets) > MaxTargets {
		return nil, fmt.Errorf("packing the report: %d targets, and it may be about %d", len(m.Asked.Targets), MaxTargets)
	}
	for _, c := range contents {
		doc, ok := files[c.name]
		if !ok || len(files) != len(contents) {
			return nil, fmt.Errorf("packing the report: %d files, want the %d that an archive holds", len(files), len(contents))
		}
		if int64(len(doc)) > c.most {
			return nil, fmt.Errorf("packing the report: %s has %d MB, and may have %d", c.name, len(doc)>>20, c.most>>20)
		}
		m.Files = append(m.Files, File{c.name, c.about, int64(len(doc)), sum(doc)})
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("packing the report: %w", err)
	}
	var out bytes.Buffer
	compressor, err := zstd.NewWriter(&out, zstd.WithWindowSize(window), zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("packing the report: %w", err)
	}
	if err := writeTar(compressor, m, append(manifest, '\n'), files); err != nil {
		return nil, fmt.Errorf("packing the report: %w", err)
	}
	if err := compressor.Close(); err != nil {
		return nil, fmt.Errorf("packing the report: %w", err)
	}
	return out.Bytes(), nil
}

// writeTar writes entries that say nothing of who made them.
func writeTar(w io.Writer, m Manifest, manifest []byte, files map[string][]byte) error {
	archive := tar.NewWriter(w)
	at := m.At.UTC().Truncate(time.Second)
	put := func(name string, doc []byte) error {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(doc)), ModTime: at, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := archive.Write(doc)
		return err
	}
	if err := put(ManifestName, manifest); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := put(f.Name, files[f.Name]); err != nil {
			return err
		}
	}
	return archive.Close()
}

func sum(doc []byte) string {
	s := sha256.Sum256(doc)
	return hex.EncodeToString(s[:])
}
