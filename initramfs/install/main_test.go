package install

import (
	"os"
	"testing"

	"griddle/initramfs/chroot"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/umltest/fattest"
)

// TestMain runs the tests in a mount namespace of their own.
func TestMain(m *testing.M) {
	chroot.Inside()
	if fattest.Inside() {
		os.Exit(m.Run())
	}
	mounttest.Own()
	os.Exit(m.Run())
}
