package main

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// The defaults of panic= and rootdelay=.
const (
	defaultPanic = 10 * time.Second
	defaultDelay = 60 * time.Second

	// How long a disk of a mirror is waited for: one that GRUB saw, and one that it did not see.
	patience, lessPatience = 30 * time.Second, 10 * time.Second
)

// options is what the kernel's command line says about the root.
type options struct {
	uuid   string // of the filesystem, lower case with dashes; "" if device is set
	device string // below /dev, without "/dev/"
	flags  string // as mount(8) has them
	write  bool
	init   string
	delay  time.Duration
	// without is after how long a root starts without a disk of its mirror.
	without time.Duration
	panic   time.Duration // 0 for never, negative for at once
}

// parseOptions reads a kernel command line. Without a root that it understands it is an error; the other options count
// all the same.
func parseOptions(cmdline string) (options, error) {
	o := options{init: "/sbin/init", delay: defaultDelay, without: patience, panic: defaultPanic}
	root := ""
	for _, word := range strings.Fields(cmdline) {
		if word == "--" {
			break // the rest is for the root's init
		}
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "root":
			root = value
		case "rootflags":
			if o.flags = value; strings.HasPrefix(value, "degraded,") { // GRUB says so
				o.without = lessPatience
			}
		case "rw", "ro":
			o.write = key == "rw"
		case "init":
			o.init = path.Clean("/" + value)
		case "rootdelay":
			if n, err := strconv.ParseUint(value, 10, 16); err == nil {
				o.delay = time.Duration(n) * time.Second
			}
		case "panic":
			if n, err := strconv.ParseInt(value, 10, 16); err == nil {
				o.panic = time.Duration(n) * time.Second
			}
		}
	}
	uuid, byUUID := strings.CutPrefix(root, "UUID=")
	device, byName := strings.CutPrefix(root, "/dev/")
	switch {
	case byUUID && isUUID(strings.ToLower(uuid)):
		o.uuid = strings.ToLower(uuid)
	case byName && device != "" && !strings.Contains(device, "/"):
		o.device = device
	default:
		return o, fmt.Errorf("root=%s on the kernel's command line is not understood: write root=UUID=ID or "+
			"root=/dev/NAME", root)
	}
	return o, nil
}

func isUUID(s string) bool {
	return len(s) == 36 && strings.Trim(s, "0123456789abcdef-") == "" && strings.Count(s, "-") == 4
}

func readOptions() (options, error) {
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return options{panic: defaultPanic}, fmt.Errorf("reading the kernel's command line: %w", err)
	}
	return parseOptions(string(b))
}
