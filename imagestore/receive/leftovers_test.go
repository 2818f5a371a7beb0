package receive_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// TestKilledReceive kills a process in the middle of a receive. What it leaves is removed; what a living one is making,
// and what only looks alike, is not.
func TestKilledReceive(t *testing.T) {
	stream := write(t, 1, sendstream.Command{Op: sendstream.OpMkdir, Path: "d"},
		sendstream.Command{Op: sendstream.OpMkfile, Path: "d/f"},
		sendstream.Command{Op: sendstream.OpWrite, Path: "d/f", Data: make([]byte, 40000)})
	if dir := os.Getenv("GRIDDLE_TEST_RECEIVE_INTO"); dir != "" { // the process that is killed
		receive.Receive(t.Context(), os.Stdin, dir, receive.Options{Name: "x"})
		return
	}
	for _, kind := range []string{"btrfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			dir := loopMount(t, t.TempDir(), kind, "", 256<<20)
			lost := filepath.Join(dir, "lost+found")
			os.Remove(lost) // of ext4
			alike := filepath.Join(dir, ".griddle-incoming-file")
			if err := os.WriteFile(alike, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			first, second := startReceive(t, dir, stream), startReceive(t, dir, stream)
			if n := entries(t, dir); n != 3 {
				t.Fatalf("%d entries while two receives are under way, want 3", n)
			}
			first()
			if err := receive.RemoveLeftovers(dir); err != nil {
				t.Fatal(err)
			}
			if n := entries(t, dir); n != 2 {
				t.Fatalf("%d entries with one killed and its leftover removed, want 2", n)
			}
			second()
			if err := receive.RemoveLeftovers(dir); err != nil {
				t.Fatal(err)
			}
			if n := entries(t, dir); n != 1 {
				t.Fatalf("%d entries after both were killed, want 1", n)
			}
		})
	}
}

func entries(t *testing.T, dir string) int {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// startReceive has another process receive into dir, up to the middle of the stream, and returns what kills it.
func startReceive(t *testing.T, dir string, stream []byte) (kill func()) {
	t.Helper()
	before := entries(t, dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledReceive$")
	cmd.Env = append(os.Environ(), "GRIDDLE_TEST_RECEIVE_INTO="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Enough of it for several batches, so that the first of them is applied; the rest never comes.
	if _, err := io.Copy(in, bytes.NewReader(long(t, stream))); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Read(watch, make([]byte, 4096)); err != nil || entries(t, dir) <= before {
		t.Fatalf("no quarantine appeared: %v", err)
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
		in.Close()
	}
}

// long takes END off a stream and puts many a command in its place.
func long(t *testing.T, stream []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := sendstream.NewWriter(&b, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := w.Write(&sendstream.Command{Op: sendstream.OpWrite, Path: "d/f",
			Data: make([]byte, 40000)}); err != nil {
			t.Fatal(err)
		}
	}
	return append(stream[:len(stream)-10:len(stream)-10], b.Bytes()[17:]...)
}
