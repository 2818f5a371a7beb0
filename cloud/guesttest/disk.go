package guesttest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"testing"
)

// Digest is the SHA-256 of a disk's bytes, to compare it with itself before and after.
func Digest(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
