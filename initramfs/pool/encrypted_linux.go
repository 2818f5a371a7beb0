package pool

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// numberOf is the number of a device as folders in sysfs are called, "254:0".
func numberOf(node string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(node, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: node, Err: err}
	}
	return fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))), nil
}
