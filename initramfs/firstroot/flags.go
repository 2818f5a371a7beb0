package main

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountFlags divides the options of mount(8) into those that are flags of mount(2) and those that the filesystem reads.
func mountFlags(options string, write bool) (flags uintptr, data string) {
	if !write {
		flags = unix.MS_RDONLY
	}
	var rest []string
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "":
		case "ro":
			flags |= unix.MS_RDONLY
		case "rw":
			flags &^= unix.MS_RDONLY
		case "noatime":
			flags |= unix.MS_NOATIME
		case "nodiratime":
			flags |= unix.MS_NODIRATIME
		case "relatime":
			flags |= unix.MS_RELATIME
		case "strictatime":
			flags |= unix.MS_STRICTATIME
		case "lazytime":
			flags |= unix.MS_LAZYTIME
		case "nodev":
			flags |= unix.MS_NODEV
		case "nosuid":
			flags |= unix.MS_NOSUID
		case "noexec":
			flags |= unix.MS_NOEXEC
		case "sync":
			flags |= unix.MS_SYNCHRONOUS
		default:
			rest = append(rest, option)
		}
	}
	return flags, strings.Join(rest, ",")
}

// mirrorFlags are options for a root with these devices: the others of a mirror by name, and degraded if one is
// missing.
func mirrorFlags(data string, root found) string {
	words := strings.FieldsFunc(data, func(r rune) bool { return r == ',' })
	words = slices.DeleteFunc(words, func(w string) bool { return w == "degraded" })
	for _, node := range root.nodes[1:] {
		words = append(words, "device="+node)
	}
	if !root.all {
		words = append(words, "degraded")
	}
	return strings.Join(words, ",")
}
