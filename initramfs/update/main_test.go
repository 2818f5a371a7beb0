package update_test

import (
	"os"
	"testing"

	"griddle/initramfs/chroot"
	"griddle/initramfs/mounttest"
)

// TestMain runs the tests in a mount namespace of their own. With killEnv it is the program that TestKilled kills.
func TestMain(m *testing.M) {
	chroot.Inside()
	mounttest.Own()
	if dir := os.Getenv(killEnv); dir != "" {
		updateOnce(dir)
	}
	os.Exit(m.Run())
}
