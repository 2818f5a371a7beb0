package fetch

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/imagetest"
)

// TestDictionaryMemory decodes the largest frames that there are, incompressible ones, each with the largest
// dictionary, in a process of its own.
func TestDictionaryMemory(t *testing.T) {
	const variable = "GRIDDLE_TEST_DICTIONARY_MEMORY"
	if dir := os.Getenv(variable); dir != "" {
		decodeForMemory(t, dir)
		return
	}
	dir := t.TempDir()
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	parent := filepath.Join(dir, "parent")
	if err := os.Mkdir(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	old := make([]byte, encoding.MaxDictionary)
	raw := make([]byte, 3*encoding.MaxFramePieces*document.PieceSize)
	noise := rand.NewChaCha8([32]byte{5})
	noise.Read(old)
	noise.Read(raw)
	if err := os.WriteFile(filepath.Join(parent, "old"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	e := encoding.Encoder{Program: imagetest.Need(t, "zstd"), Level: 10, FramePieces: encoding.MaxFramePieces,
		Parent: parent, Workers: 1,
		Dictionary: func(_, n int64) []encoding.Extract {
			return []encoding.Extract{{Path: "old", Offset: 0, Length: encoding.MaxDictionary}}
		}}
	made, err := e.Encode(t.Context(), bytes.NewReader(raw), blobs)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "made"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDictionaryMemory$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	out, err := cmd.CombinedOutput()
	_, rest, _ := strings.Cut(string(out), "peak ")
	peak, perr := strconv.ParseInt(strings.Fields(rest + " x")[0], 10, 64)
	if err != nil || perr != nil {
		t.Fatalf("%v, %v\n%s", err, perr, out)
	}
	t.Logf("figure: decoding the largest frames took %d MiB at the most", peak>>20)
	if peak > memoryLimit {
		t.Errorf("decoding took %d bytes of memory, want at most %d", peak, memoryLimit)
	}
}

// decodeForMemory is the other process.
func decodeForMemory(t *testing.T, dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "made"))
	if err != nil {
		t.Fatal(err)
	}
	var e encoding.Encoded
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	doc := document.Stream{Raw: e.Raw, Pieces: e.Pieces}
	for range 3 { // as the streams of a chain follow one another
		r := newFrameReader(t.Context(), NewSources([]blob.Reader{blobs}, Options{}), openedStream{doc, e.Frames},
			filepath.Join(dir, "parent"), false)
		n, err := io.Copy(io.Discard, r)
		r.Close()
		if err != nil || n != e.Raw {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	printPeak(t)
}
