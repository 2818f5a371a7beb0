package sourcetest

import "testing"

// Tmpfs mounts an empty tmpfs and returns its directory. It is unmounted when the test ends.
func Tmpfs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	Run(t, "mount", "-t", "tmpfs", "tmpfs", dir)
	t.Cleanup(func() { Run(t, "umount", dir) })
	return dir
}
