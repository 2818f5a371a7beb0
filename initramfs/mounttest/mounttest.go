// Package mounttest keeps the mounts of a package's tests to themselves.
//
// Call Own first in TestMain.
package mounttest

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Own starts the test program again in a mount namespace of its own, and returns there. Namespaces that other tests
// make take a copy of all mounts with them: a disk that is mounted in the namespace of all would be in use until they
// end. For the same reason the new namespace does not keep the copies of other tests' disks.
// Without unshare(1) it returns in the namespace of all.
func Own() {
	const done = "GRIDDLE_TEST_OWN_MOUNTS"
	pid := strconv.Itoa(os.Getpid()) // stays the same, and is another one in programs that the tests start
	switch os.Getenv(done) {
	case "":
	case pid:
		forget()
		return
	default:
		return
	}
	if unshare, err := exec.LookPath("unshare"); err == nil {
		_ = unix.Exec(unshare, append([]string{unshare, "--mount", "--"}, os.Args...),
			append(os.Environ(), done+"="+pid))
	}
}

// forget unmounts the loop devices below the folder for temporary files, here and in no other namespace (unshare(1)
// makes all mounts private), unless this program needs them.
func forget() {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	cwd, _ := os.Getwd()
	program, _ := os.Executable()
	for _, line := range slices.Backward(strings.Split(string(b), "\n")) {
		left, right, _ := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) < 5 || len(r) < 2 || !strings.HasPrefix(r[1], "/dev/loop") || !below(l[4], os.TempDir()) ||
			slices.ContainsFunc([]string{cwd, program, os.TempDir()}, func(p string) bool { return below(p, l[4]) }) {
			continue
		}
		_ = unix.Unmount(l[4], unix.MNT_DETACH)
	}
}

// below says whether a path is a folder or in it.
func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}
