package document_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/sendstream"
)

// TestOursVerifiesMinisigns goes the other way, with a key that minisign made and with one that we made.
func TestOursVerifiesMinisigns(t *testing.T) {
	tool := imagetest.Need(t, "minisign")
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "their.key"), filepath.Join(dir, "our.key")
	if out, err := exec.Command(tool, "-G", "-W", "-s", theirs,
		"-p", filepath.Join(dir, "their.pub")).CombinedOutput(); err != nil {
		t.Fatalf("minisign -G: %v\n%s", err, out)
	}
	if _, made, err := minisign.LoadOrMakeKey(ours); err != nil || !made {
		t.Fatalf("LoadOrMakeKey = %v, %v", made, err)
	}
	unsigned := imagetest.Image()
	unsigned.Format = document.ImageFormat
	line, err := document.MarshalLine(unsigned)
	if err != nil {
		t.Fatal(err)
	}
	for key, pub := range map[string]string{theirs: "their.pub", ours: "our.pub"} {
		doc := filepath.Join(dir, "doc")
		if err := os.WriteFile(doc, line, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(tool, "-S", "-W", "-s", key, "-m", doc,
			"-t", "a comment").CombinedOutput(); err != nil {
			t.Fatalf("minisign -S: %v\n%s", err, out)
		}
		sig, err := os.ReadFile(doc + ".minisig")
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join(dir, pub))
		if err != nil {
			t.Fatal(err)
		}
		k, err := minisign.ParsePublicKey(string(file))
		if err != nil {
			t.Fatal(err)
		}
		m, by, err := document.OpenImage(append(bytes.Clone(line), sig...), document.NewTrust(k))
		if err != nil || m.Ref != "web:1@amd64" || by != k {
			t.Errorf("OpenImage of a document that minisign signed with %s = %q, %v", key, m.Ref, err)
		}
		sk, err := minisign.ReadKey(key, nil)
		if err != nil || sk.Public() != k {
			t.Errorf("ReadKey(%s) = %v", key, err)
		}
	}
}

func TestSignatureIsRefused(t *testing.T) {
	key := imagetest.NewKey(t)
	trust := document.NewTrust(key.Public())
	good, err := document.Sign(imagetest.Image(), key, time.Unix(1.7e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := document.OpenImage(good, trust); err != nil {
		t.Fatal(err)
	}
	if _, _, err := document.OpenImage(good,
		document.NewTrust(imagetest.NewKey(t).Public())); !errors.Is(err, minisign.ErrSignature) ||
		!strings.Contains(err.Error(), key.Public().ID()+" is not trusted") {
		t.Errorf("OpenImage with another key = %v", err)
	}
	if _, _, err := document.OpenImage(good, nil); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("OpenImage with no trust = %v", err)
	}
	// Every byte that is changed is noticed, but those of the untrusted comment, which says nothing.
	from := bytes.Index(good, []byte(minisign.CommentPrefix)) + len(minisign.CommentPrefix)
	to := from + bytes.IndexByte(good[from:], '\n')
	for i := range good {
		if i >= from && i < to {
			continue
		}
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, _, err := document.OpenImage(bad, trust); err == nil {
			t.Errorf("byte %d of the document, %q made %q, went unnoticed", i, good[i], bad[i])
		}
	}
	stream, err := document.Sign(document.Stream{Image: imagetest.Image().Identity, Raw: 1,
		Pieces: []string{blob.Sum(nil).Hex()}}, key,
		time.Unix(1.7e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := document.OpenImage(stream, trust); err == nil {
		t.Error("a stream document was taken for an image document")
	}
}

func TestSignRefusesNonsense(t *testing.T) {
	key := imagetest.NewKey(t)
	image := func(f func(*document.Image)) document.Image { m := imagetest.Image(); f(&m); return m }
	for name, doc := range map[string]any{
		"no arch":    image(func(m *document.Image) { m.Ref = "web:1" }),
		"latest":     image(func(m *document.Image) { m.Ref = "web:latest@amd64" }),
		"no uuid":    image(func(m *document.Image) { m.UUID = sendstream.UUID{} }),
		"no content": image(func(m *document.Image) { m.Content = document.Content{} }),
		"long text":  image(func(m *document.Image) { m.Comment = strings.Repeat("x", 5000) }),
		"own parent": document.Stream{Image: imagetest.Image().Identity,
			Parent: func() *document.Identity { id := imagetest.Image().Identity; return &id }(), Raw: 1,
			Pieces: []string{blob.Sum(nil).Hex()}},
		"pieces": document.Stream{Image: imagetest.Image().Identity, Raw: document.PieceSize + 1,
			Pieces: []string{blob.Sum(nil).Hex()}},
		"bad sum":  document.Stream{Image: imagetest.Image().Identity, Raw: 1, Pieces: []string{"XY"}},
		"a string": "text",
	} {
		if _, err := document.Sign(doc, key, time.Unix(0, 0)); err == nil {
			t.Errorf("Sign of a document with %s gave no error", name)
		}
	}
}

func FuzzOpenDocument(f *testing.F) {
	key, err := minisign.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	good, err := document.Sign(imagetest.Image(), key, time.Unix(1.7e9, 0))
	if err != nil {
		f.Fatal(err)
	}
	trust := document.NewTrust(key.Public())
	f.Add(good)
	f.Add([]byte("{}\nuntrusted comment: \n\ntrusted comment: \n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, _, err := document.OpenImage(b, trust); err == nil &&
			!bytes.HasPrefix(b, good[:bytes.IndexByte(good, '\n')]) {
			t.Errorf("OpenImage accepted %q: %+v", b, m)
		}
		document.OpenStream(b, trust)
	})
}

// FuzzDocument looks behind the signature: a trusted key may still sign nonsense.
func FuzzDocument(f *testing.F) {
	key, err := minisign.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{`{}`, `{"format":"griddle-image/1","ref":"web:1@amd64"}`,
		`{"format":"griddle-stream/1","raw":9223372036854775807,"pieceSize":8388608}`, `[]`, `null`} {
		f.Add([]byte(s))
	}
	trust := document.NewTrust(key.Public())
	f.Fuzz(func(t *testing.T, b []byte) {
		line := append(bytes.ReplaceAll(b, []byte("\n"), nil), '\n')
		signed := append(bytes.Clone(line), key.Sign(line, "x")...)
		if m, _, err := document.OpenImage(signed, trust); err == nil {
			if err := document.Validate(m); err != nil {
				t.Errorf("OpenImage accepted %q: %v", b, err)
			}
		}
		if s, _, err := document.OpenStream(signed, trust); err == nil &&
			int64(len(s.Pieces)) != document.PieceCount(s.Raw) {
			t.Errorf("OpenStream accepted %q", b)
		}
	})
}
