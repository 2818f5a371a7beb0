package receive_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// needs stops the test where a program is missing.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is missing: run make deps", p)
		}
	}
	if os.Geteuid() != 0 {
		t.Fatal("these tests mount and make device nodes: run them as root")
	}
}

// run runs a program and returns its standard output.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// loopMount makes a file system of the kind on a loop device, with its image in dir, and mounts it.
func loopMount(t testing.TB, dir, kind, options string, size int64) string {
	t.Helper()
	needs(t, "mkfs."+kind, "mount", "umount")
	image, err := os.CreateTemp(dir, "image")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(image.Name()) })
	if err := image.Truncate(size); err != nil {
		t.Fatal(err)
	}
	image.Close()
	run(t, "mkfs."+kind, "-q", image.Name())
	return mount(t, "-o", "loop,noatime"+options, image.Name())
}

// mount mounts with the given arguments on a new directory.
func mount(t testing.TB, args ...string) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", append(args, at)...)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			exec.Command("umount", "-l", at).Run()
			t.Errorf("umount %s: %v\n%s", at, err, out)
		}
	})
	return at
}

// send gives the stream of a read-only snapshot.
func send(t testing.TB, args ...string) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stream")
	run(t, "btrfs", append([]string{"send", "-q", "-f", name}, args...)...)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// peer has `btrfs receive` apply a stream.
func peer(t testing.TB, stream []byte, dir string, options ...string) {
	t.Helper()
	cmd := exec.Command("btrfs", append(append([]string{"receive", "-e"}, options...), dir)...)
	cmd.Stdin = bytes.NewReader(stream)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// ours applies a stream and fails the test where that fails.
func ours(t testing.TB, stream []byte, dir string, o receive.Options) receive.Result {
	t.Helper()
	res, err := receive.Receive(context.Background(), bytes.NewReader(stream), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// rewrite copies a stream through Reader and Writer.
func rewrite(t testing.TB, stream []byte) []byte {
	t.Helper()
	r, err := sendstream.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := sendstream.NewWriter(&b, r.Version())
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, err := r.Next()
		if err == io.EOF {
			return b.Bytes()
		}
		if err == nil {
			err = w.Write(c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
