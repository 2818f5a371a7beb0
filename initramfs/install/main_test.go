package install

import (
	"os"
	"testing"

	"griddle/initramfs/chroot"
	"griddle/initramfs/mounttest"
)

// TestMain runs the tests in a mount namespace of their own.
func TestMain(m *testing.M) {
	chroot.Inside()
	mounttest.Own()
	os.Exit(m.Run())
}
