package order

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Here is the situation of a machine that runs a root, without what the files say.
func Here(root string) Situation {
	s := Situation{Root: root, Boot: Boot()}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		s.Up = time.Duration(info.Uptime) * time.Second
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return s
}

// Boot is the ID of this start of the machine, "" if it is not known (random(4), boot_id).
func Boot() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
