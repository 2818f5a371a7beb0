package fetch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func quick(o Options) Options {
	o.Backoff = time.Microsecond
	return o
}

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

// memoryLimit is what the agent may take, in bytes: machines with 1 GiB run it, with their root in memory.
const memoryLimit = 200 << 20

// words is n bytes of words, which compress about as well as programs do, the same for the same seed.
func words(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", r.Uint64()>>(r.Uint64()%60))
	}
	return b.Bytes()[:n]
}

// printPeak says how much memory this process had at the most.
func printPeak(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("peak %d \n", kib<<10)
}
