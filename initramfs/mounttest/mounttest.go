// Package mounttest keeps the mounts of a package's tests to themselves.
//
// Call Own first in TestMain.
package mounttest

import (
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Own starts the test program again in a mount namespace of its own, and returns there. Namespaces that other tests
// make take a copy of all mounts with them: a disk that is mounted in the namespace of all would be in use until they
// end.
// Without unshare(1) it returns in the namespace of all.
func Own() {
	const done = "GRIDDLE_TEST_OWN_MOUNTS"
	if os.Getenv(done) != "" {
		return
	}
	if unshare, err := exec.LookPath("unshare"); err == nil {
		_ = unix.Exec(unshare, append([]string{unshare, "--mount", "--"}, os.Args...), append(os.Environ(), done+"=1"))
	}
}
