package chroot_test

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/initramfs/chroot"
)

// TestMain runs the tests in a mount namespace of their own. Namespaces that other tests make take a copy of all mounts
// with them: the disk that is mounted here would be in use until they end.
func TestMain(m *testing.M) {
	chroot.Inside()
	const done = "GRIDDLE_TEST_OWN_MOUNTS"
	if os.Getenv(done) == "" {
		if unshare, err := exec.LookPath("unshare"); err == nil {
			_ = unix.Exec(unshare, append([]string{unshare, "--mount", "--"}, os.Args...),
				append(os.Environ(), done+"=1"))
		}
	}
	os.Exit(m.Run())
}
