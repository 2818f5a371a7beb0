package keysearch

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain runs the tests in a mount namespace of their own, see package install's.
func TestMain(m *testing.M) {
	const done = "GRIDDLE_TEST_OWN_MOUNTS"
	if os.Getenv(done) == "" {
		if unshare, err := exec.LookPath("unshare"); err == nil {
			_ = unix.Exec(unshare, append([]string{unshare, "--mount", "--"}, os.Args...),
				append(os.Environ(), done+"=1"))
		}
	}
	os.Exit(m.Run())
}
