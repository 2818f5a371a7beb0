// Package readback reads the files of a tree back from the disk while the rest of the tree is still being made, so that
// less is left to read when the tree is compared with its content manifest.
//
// Call Start when the tree has its root, Written after each file, and Stop at the end. Give content.VerifyRest what
// Stop returns. While the goroutine that makes the tree has nothing to do, it calls what it gets from Idle.
//
// # Why a reading is true
//
// A reading counts only if the file has, at the very end, the inode number, the size and the time of change (ctime)
// that were noted before it was read. That is enough, whatever was done to the file, and under which name:
//
//  1. A system call that changes the content of a file sets its ctime to the kernel's clock: a write, a compressed
//     write, a clone, a truncation, a hole. None sets it to another time. A new file that has the inode number of a
//     removed one has the ctime of its creation.
//  2. The note is made by the goroutine that makes the tree, between two of its system calls. So none is under way that
//     has set the ctime and changes the content later.
//  3. The ctime is older than Rule.Rest at that moment, and so older than a tick of the clock. So every later change
//     sets another one. If someone sets the clock back meanwhile, it would have to meet the same nanosecond.
//
// So if the ctime at the end is the noted one, nothing changed the file after the note, and what was read is what the
// file has. No command of the stream has to be known here. A reading that is missing or not true any more costs time
// only: then content.VerifyRest reads the file. Readings are kept in memory, so none survives a power cut.
//
// The bytes come from the disk, and not from the cache of what was written: the file is written, its pages leave the
// cache, and it is opened with O_DIRECT. What is not read here is left to the end: small files, files with holes or
// compressed data, files that the stream does not write, and all that goes wrong. No error comes from here.
//
// # Why it slows nothing down
//
// It works only while the goroutine that makes the tree waits for the stream, and reads at most one MiB each time. If
// the disk or the processor is slower than the stream, there is no such time, and all is read at the end. A file that
// is not on the disk a tenth of a second after it was due is not read: the disk has enough to do.
//
// One file is open at a time. At most 4096 paths wait, and 262144 readings of some 100 bytes are kept.
//
// Sources: Linux fs/inode.c (inode_set_ctime_current), fs/btrfs/file.c (btrfs_write_check, btrfs_punch_hole),
// fs/btrfs/reflink.c, fs/btrfs/inode.c (btrfs_setattr), fs/btrfs/direct-io.c; sync_file_range(2), open(2).
package readback

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
)

// Rule says which files are read, and when. The zero value reads none.
type Rule struct {
	// Rest is how long a file is left alone before it is read: more than one tick of the kernel's clock, which has 10
	// ms at most. A second gives the disk time to write the file.
	Rest time.Duration
	// Smallest is the size of the smallest files that are read, in bytes, more than 4096: btrfs keeps smaller ones
	// beside their inodes, and would read them from memory.
	Smallest int64
}

// Usual is the rule of installs and updates. Nine tenths of the files of a system have less than 64 KiB, and a tenth of
// its bytes.
func Usual() Rule { return Rule{Rest: time.Second, Smallest: 64 << 10} }

const (
	waiting = 4096    // files that may wait
	flushes = 16      // files that are given to the disk in one turn
	most    = 1 << 18 // readings that are kept
)

// Reader reads the files of one tree.
type Reader struct {
	root int
	dev  uint64
	rule Rule

	idle    chan func()
	written chan string
	quit    chan struct{}
	ended   chan struct{}

	buf      []byte // aligned for O_DIRECT
	readings content.Readings
}

// Start starts a Reader of the tree whose root directory is open as root. Call Stop when the tree is made, before root
// is closed.
func Start(root int, rule Rule) (*Reader, error) {
	var st unix.Stat_t
	if err := unix.Fstat(root, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	buf, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	r := &Reader{root: root, dev: st.Dev, rule: rule, idle: make(chan func()), written: make(chan string, waiting),
		quit: make(chan struct{}), ended: make(chan struct{}), buf: buf, readings: content.Readings{}}
	go r.run()
	return r, nil
}

// Idle has functions for the goroutine that makes the tree: while it has nothing else to do it takes one and calls it.
// Each takes microseconds, and has the Reader work for a moment.
func (r *Reader) Idle() <-chan func() { return r.idle }

// Written says that the content of the file at path, relative to the root, was written, and that others are written
// now. It does not wait. A file for which there is no room is not read.
func (r *Reader) Written(path string) {
	select {
	case r.written <- path:
	default:
	}
}

// Stop ends the Reader and returns what it read.
func (r *Reader) Stop() content.Readings {
	close(r.quit)
	<-r.ended
	unix.Munmap(r.buf)
	return r.readings
}

// A rest is a file that the disk was asked to write.
type rest struct {
	path  string
	since time.Time
}

// run keeps the files in the order in which they were written: first they are fresh, then they rest, then they are
// read.
func (r *Reader) run() {
	defer close(r.ended)
	var fresh []string
	var resting []rest
	for {
		var idle chan<- func()
		var settled <-chan time.Time
		ripe := len(resting) > 0 && time.Since(resting[0].since) >= r.rule.Rest
		switch {
		case ripe || len(fresh) > 0:
			idle = r.idle
		case len(resting) > 0:
			settled = time.After(r.rule.Rest - time.Since(resting[0].since))
		}
		n, noted := note{fd: -1}, make(chan struct{})
		look := func() {
			if ripe {
				n = r.note(resting[0].path)
			}
			close(noted)
		}
		select {
		case path := <-r.written:
			if len(fresh)+len(resting) < waiting {
				fresh = append(fresh, path)
			}
		case idle <- look:
			<-noted
			if ripe {
				resting = resting[1:]
				r.read(n)
			}
			some := fresh[:min(flushes, len(fresh))]
			fresh = fresh[len(some):]
			for _, path := range some {
				if r.flush(path) {
					resting = append(resting, rest{path, time.Now()})
				}
			}
		case <-settled:
		case <-r.quit:
			return
		}
	}
}

// turn waits until the goroutine that makes the tree is idle. It says no if the Reader ends.
func (r *Reader) turn() bool {
	select {
	case r.idle <- func() {}:
		return true
	case <-r.quit:
		return false
	}
}
