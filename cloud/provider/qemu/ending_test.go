package qemu

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/cloud/provider"
	"griddle/imagestore/durable"
)

// TestRunningOneThatEnds asks a QEMU that ends: its socket refuses, and its process is gone a little
// later. That is no fault.
func TestRunningOneThatEnds(t *testing.T) {
	q, err := crashed(t.TempDir(), durable.Disk{})
	if err != nil {
		t.Fatal(err)
	}
	r := &record{Labels: labels(provider.KindServer, "web-1")}
	dir := q.serverDir(r)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	process, err := os.Create(filepath.Join(dir, aliveFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(process.Fd(), unix.F_OFD_SETLK, whole()); err != nil {
		t.Fatal(err)
	}
	socket, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	socket.Close()
	asked := func(*monitor) error { t.Error("it was asked"); return nil }
	time.AfterFunc(50*time.Millisecond, func() { process.Close() })
	if err := q.running(t.Context(), r, asked); err != nil {
		t.Errorf("running() = %v, want nothing of a server that ended", err)
	}
}
