package rootfs

import (
	"os"
	"testing"

	"griddle/initramfs/mounttest"
)

// TestMain runs the tests in a mount namespace of their own.
func TestMain(m *testing.M) {
	mounttest.Own()
	os.Exit(m.Run())
}
