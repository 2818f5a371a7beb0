// Package imagetest gives tests what images are made of: keys and grants, names, an image's document, bytes.
//
// A function that cannot do its work fails the test. The package knows the formats (minisign, ref, document) and no
// store, so the tests of all packages above them can use it. Those of document use it as package document_test; those
// of minisign and ref, which also test private functions, have their own.
package imagetest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/sendstream"
)

// Need is the path of a program that `make deps` installs.
func Need(t testing.TB, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: run make deps", program)
	}
	return p
}

// NewKey is a new secret key.
func NewKey(t testing.TB) *minisign.SecretKey {
	t.Helper()
	k, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TwinOf is the key other under the ID of k: anyone who makes a key chooses its ID.
func TwinOf(t testing.TB, k, other minisign.PublicKey) minisign.PublicKey {
	t.Helper()
	raw := func(k minisign.PublicKey) []byte {
		b, err := base64.StdEncoding.DecodeString(k.String())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	twin, err := minisign.ParsePublicKey(base64.StdEncoding.EncodeToString(append(raw(k)[:10], raw(other)[10:]...)))
	if err != nil {
		t.Fatal(err)
	}
	return twin
}

// GrantOf lets k sign the images that match patterns (document.NewGrant).
func GrantOf(t testing.TB, k *minisign.SecretKey, patterns ...string) document.Grant {
	t.Helper()
	g, err := document.NewGrant(k.Public(), patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Ref is the reference that s is the text of.
func Ref(t testing.TB, s string) ref.Ref {
	t.Helper()
	r, err := ref.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Image is the document of web:1@amd64, always the same. No store has its content.
func Image() document.Image {
	c := document.Content{Digest: blob.Sum([]byte("text")), Size: 4, Blob: blob.Sum([]byte("zstd"))}
	return document.Image{Identity: document.Identity{Ref: "web:1@amd64", UUID: sendstream.UUID{1},
		Ctransid: 9, Content: c},
		Description: "a <web> server & more", Published: time.Unix(1.7e9, 0), Size: 10, Files: 2}
}

// Bytes is n bytes that compress to about half and are the same for the same seed.
func Bytes(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b[:n/2])
	copy(b[n/2:], strings.Repeat("all work and no play ", n/40))
	return b
}

// Words is n bytes of words, which compress about as well as programs do. They are the same for the same seed.
func Words(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", r.Uint64()>>(r.Uint64()%60))
	}
	return b.Bytes()[:n]
}

// Versions is the versions of the images of web for amd64 among refs, separated by spaces.
func Versions(refs []string) string {
	var out []string
	for _, r := range refs {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(r, "web:"), "@amd64"))
	}
	return strings.Join(out, " ")
}
