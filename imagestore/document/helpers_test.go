package document

import (
	"encoding/base64"
	"os/exec"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/sendstream"
)

func need(t testing.TB, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: run make deps", program)
	}
	return p
}

func newKey(t testing.TB) *minisign.SecretKey {
	t.Helper()
	k, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// twinOf is the key other under the ID of k: anyone who makes a key chooses its ID.
func twinOf(t testing.TB, k, other minisign.PublicKey) minisign.PublicKey {
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

func grantOf(t testing.TB, k *minisign.SecretKey, patterns ...string) Grant {
	t.Helper()
	g, err := NewGrant(k.Public(), patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func someImage() Image {
	c := Content{Digest: blob.Sum([]byte("text")), Size: 4, Blob: blob.Sum([]byte("zstd"))}
	return Image{Identity: Identity{Ref: "web:1@amd64", UUID: sendstream.UUID{1}, Ctransid: 9, Content: c},
		Description: "a <web> server & more", Published: time.Unix(1.7e9, 0), Size: 10, Files: 2}
}

func refOf(t testing.TB, s string) ref.Ref {
	t.Helper()
	r, err := ref.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
