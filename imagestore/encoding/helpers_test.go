package encoding

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

func need(t testing.TB, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: run make deps", program)
	}
	return p
}

// someBytes is n bytes that compress to about half and are the same for the same seed.
func someBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b[:n/2])
	copy(b[n/2:], strings.Repeat("all work and no play ", n/40))
	return b
}
