package imagestore_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
)

// memoryLimit is what the agent may take, in bytes: machines with 1 GiB run it, with their root in memory.
const memoryLimit = 200 << 20

// TestReceiveMemory receives a delta in a process of its own, from frames as long and with dictionaries as large as
// there are, and asks the kernel for the most memory that it had.
func TestReceiveMemory(t *testing.T) {
	if dir := os.Getenv("GRIDDLE_TEST_MEMORY"); dir != "" {
		receiveForMemory(t, dir)
		return
	}
	ctx := t.Context()
	p := newPublisher(t)
	p.store.Key = p.o.Key
	const size = 72 << 20 // more than two of the longest frames
	old := imagetest.Words(1, size)
	p.must(os.WriteFile(filepath.Join(p.dir, "large"), old, 0o644))
	p.o.Ref.Version = "1"
	one := p.publish().Ref
	for i := 0; i < size; i += 4096 { // a byte in every block
		old[i] ^= 1
	}
	p.must(os.WriteFile(filepath.Join(p.dir, "large"), old, 0o644))
	p.o.Ref.Version = "2"
	two := p.publish()
	if two.Raw < size {
		t.Fatalf("the delta has %d bytes, want all of the file", two.Raw)
	}
	p.must(p.store.Recompress(ctx,
		imagestore.RecompressOptions{Refs: []ref.Ref{imagetest.Ref(t, two.Ref)}, Level: 10}, nil))
	dir := t.TempDir()
	_, err := p.store.Receive(ctx, imagetest.Ref(t, one), dir, imagestore.ReceiveOptions{Name: "one"})
	p.must(err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestReceiveMemory$", "-test.v")
	cmd.Env = append(os.Environ(), "GRIDDLE_TEST_MEMORY="+dir, "GRIDDLE_TEST_STORE="+p.store.Dir(),
		"GRIDDLE_TEST_ONE="+one, "GRIDDLE_TEST_TWO="+two.Ref)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "peak ")
	peak, err := strconv.ParseInt(strings.Fields(rest + " x")[0], 10, 64)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("figure: receiving took %d MB at the most", peak>>20)
	if peak > memoryLimit {
		t.Errorf("receiving took %d bytes of memory, want at most %d", peak, memoryLimit)
	}
}

// receiveForMemory is the other process.
func receiveForMemory(t *testing.T, dir string) {
	st, err := imagestore.Open(os.Getenv("GRIDDLE_TEST_STORE"))
	if err != nil {
		t.Fatal(err)
	}
	one, two := imagetest.Ref(t, os.Getenv("GRIDDLE_TEST_ONE")), imagetest.Ref(t, os.Getenv("GRIDDLE_TEST_TWO"))
	l, err := st.Resolve(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	have := []imagestore.Tree{{Ref: one.String(), Identity: l.Identity, Dir: filepath.Join(dir, "one")}}
	r, err := st.Receive(t.Context(), two, dir, imagestore.ReceiveOptions{Name: "two", Have: have})
	if err != nil {
		t.Fatal(err)
	}
	if r.Wire > r.Raw/4 {
		t.Fatalf("%d bytes were fetched for %d: no dictionaries", r.Wire, r.Raw)
	}
	printPeak(t)
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
