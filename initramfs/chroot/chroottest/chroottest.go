// Package chroottest makes the smallest system that programs can run in, for tests.
//
// Call Busybox on an empty folder, or on the tree of an image.
package chroottest

import (
	"os"
	"path/filepath"
	"testing"
)

// commands are what a script may use.
var commands = []string{"cat", "chmod", "dd", "env", "false", "grep", "head", "hostname", "id", "kill", "ls", "mkdir",
	"mount", "rm", "setsid", "sh", "sleep", "sort", "stat", "touch", "tr", "true", "tty", "umount", "yes"}

// Busybox puts busybox and its commands into /bin below dir, and makes /etc, /root and /tmp.
func Busybox(t testing.TB, dir string) {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v (apt-get install busybox-static)", err)
	}
	for _, d := range []string{"bin", "etc", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range commands {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
}
