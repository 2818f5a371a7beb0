package head

import (
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
	"griddle/imagestore/sendstream"
)

func siteTrust(k *minisign.SecretKey) *document.Trust {
	t := &document.Trust{}
	t.Allow(document.SiteGrant(k.Public()))
	return t
}

func newKey(t testing.TB) *minisign.SecretKey {
	t.Helper()
	k, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func grantOf(t testing.TB, k *minisign.SecretKey, patterns ...string) document.Grant {
	t.Helper()
	g, err := document.NewGrant(k.Public(), patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func someImage() document.Image {
	c := document.Content{Digest: blob.Sum([]byte("text")), Size: 4, Blob: blob.Sum([]byte("zstd"))}
	return document.Image{Identity: document.Identity{Ref: "web:1@amd64", UUID: sendstream.UUID{1},
		Ctransid: 9, Content: c},
		Description: "a <web> server & more", Published: time.Unix(1.7e9, 0), Size: 10, Files: 2}
}
