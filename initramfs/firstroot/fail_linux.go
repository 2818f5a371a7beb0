package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Levels of the kernel's log (include/linux/kern_levels.h). With quiet on its command line the kernel shows failures.
const (
	failure = 3
	info    = 6
)

// say writes to the kernel's log, which goes to every console.
func say(level int, text string) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		fmt.Println("griddle:", text)
		return
	}
	defer f.Close()
	for line := range strings.Lines(text) {
		fmt.Fprintf(f, "<%d>griddle: %s\n", level, strings.TrimSuffix(line, "\n"))
	}
}

// restart says what failed and restarts the machine after a while; never if wait is zero.
func restart(err error, wait time.Duration) {
	say(failure, err.Error())
	switch {
	case wait == 0:
		say(failure, "the machine stays like this, because of panic=0")
		for {
			time.Sleep(time.Hour)
		}
	case wait > 0:
		say(failure, fmt.Sprintf("the machine restarts in %.0f seconds", wait.Seconds()))
		time.Sleep(wait)
	}
	unix.Sync()
	err = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	say(failure, fmt.Sprintf("restarting: %v", err))
	os.Exit(1) // the kernel panics
}
