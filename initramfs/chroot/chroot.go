// Package chroot runs programs inside the root of a new system, which is not the one that runs.
//
// Call Inside first in main, and in TestMain of packages whose tests run programs: Do starts this program again, as the
// first process of the root. Then call Root.Do, or Root.Run for setting.Options.
//
// # What a program finds
//
//	/                   the tree at Root.Dir with all that is mounted below it, writable, without device nodes
//	/dev                null, zero, full, random, urandom, tty, ptmx, pts, shm and fd
//	/proc               of its own processes
//	/sys                read-only
//	/run                empty but for Call.Files, in memory
//	/etc/resolv.conf    Root.Resolv, where that is given; what is written into it is lost
//
// Its directory is /, its umask 022, and its input is empty. Its environment is PATH, HOME=/root, LANG=C.UTF-8 and
// Call.Env, and nothing else. It has the network of this machine, and all rights of root.
//
// # What it guarantees
//
// Mounts, processes, hostname and System V IPC are in namespaces of their own. When Do returns, every process that the
// program started has ended, a daemon too, and all mounts are gone: the filesystem of the root can be unmounted at
// once. Nothing is mounted in the namespace of the caller. This holds too when the program ignores signals, when its
// time is over, when ctx ends, and when this program is killed. The kernel's memory killer takes the program first.
//
// Call.Files and Call.Env are neither on a disk nor among the arguments of this program. Output is limited by MaxLine
// and Call.Lines, and is read to its end, so a program with much of it does not wait.
//
// A chroot is not a prison: the program has all rights of root and can reach the machine's disks, if it wants to.
//
// Sources: pid_namespaces(7), mount_namespaces(7), open_tree(2), mount_setattr(2) (Linux 5.12).
package chroot

import (
	"context"
	"os"
	"time"
)

// Root is the root of a system.
type Root struct {
	Dir      string // path of its top
	Hostname string // of the system, for programs that ask the kernel; "" is that of this machine
	Resolv   []byte // /etc/resolv.conf while a program runs; nil is the system's own
}

// File is a file that exists only while a program runs.
type File struct {
	Path string // below /run: "/run/griddle/hook"
	Data []byte
	Mode os.FileMode // its directory has mode 0700
}

// Call says what to run, and how.
type Call struct {
	Args  []string      // the program and its arguments; one without a slash is searched in PATH of the root
	Env   []string      // variables in addition, "NAME=value"
	Files []File        // made before it starts
	Limit time.Duration // how long it may run; 0 for as long as it wants

	// Line is called for each line of the output that is not blank, one at a time and not after Do has returned. The
	// bytes are the program's: make them safe before you show them. nil drops them.
	Line  func(line string)
	Lines int // how many lines Line gets; 0 for MaxLines

	// Terminal, if not nil, is input and output, and controls the program: a shell has job control. Line gets nothing.
	Terminal *os.File
}

// The limits of output.
const (
	MaxLine  = 512  // bytes of one line; the rest of it is dropped
	MaxLines = 1000 // lines of one run; the last line says how many more there were
	lastSize = 12   // lines that an Error has
)

// runLimit is how long a program of Run may take.
const runLimit = 10 * time.Minute

// Run runs a program of the root for at most ten minutes. Its error has the last lines of the output. It is for
// setting.Options.Run.
func (r Root) Run(ctx context.Context, name string, args ...string) error {
	return r.Do(ctx, Call{Args: append([]string{name}, args...), Limit: runLimit})
}
