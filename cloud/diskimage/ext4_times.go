package diskimage

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"griddle/cloud/diskimage/program"
	"griddle/cloud/diskimage/tree"
)

// What an inode of 256 bytes holds, seconds since 1970: 32 bits with a sign, and two more that count epochs of 2^32
// seconds (Linux, Documentation/filesystems/ext4/inodes.rst, "Inode Timestamps").
const (
	firstTime = -1 << 31
	lastTime  = 1<<34 - 1<<31 - 1
)

// setTimes replaces the times of access, change and creation of every inode, which mke2fs takes from the files that it
// copied and which say when that copy was made, sets the times of modification that it cuts off (it writes 32 bits of
// seconds), and gives the root folder what the image says of it.
func (b *build) setTimes(ctx context.Context, disk string, f tree.Summary) error {
	at := fmt.Sprintf("%s?offset=%d", disk, rootStart)
	var state bytes.Buffer
	if err := b.p.Run(ctx, program.Call{Stdout: &state}, "dumpe2fs",
		"-o", "blocksize="+strconv.Itoa(tree.BlockSize), at); err != nil {
		return err
	}
	used, err := usedInodes(state.Bytes())
	if err != nil {
		return fmt.Errorf("reading what dumpe2fs says: %w", err)
	}
	inodes, err := b.inodes(ctx, at, f.Times)
	if err != nil {
		return err
	}
	var script bytes.Buffer
	now, nowExtra := inodeTime(time.Unix(max(f.Newest.Unix(), 0), 0))
	for _, r := range used {
		for i := r[0]; i <= r[1]; i++ {
			for _, field := range []string{"ctime", "atime"} {
				fmt.Fprintf(&script, "sif <%d> %s @%d\n", i, field, now)
			}
			if nowExtra != 0 { // mke2fs has set the time of creation, but for its epoch
				fmt.Fprintf(&script, "sif <%d> crtime @%d\n", i, now)
				for _, field := range []string{"ctime_extra", "atime_extra", "crtime_extra"} {
					fmt.Fprintf(&script, "sif <%d> %s %d\n", i, field, nowExtra)
				}
			}
		}
	}
	mtime := func(inode int64, t time.Time) {
		seconds, extra := inodeTime(t)
		fmt.Fprintf(&script, "sif <%d> mtime @%d\nsif <%d> mtime_extra %d\n", inode, seconds, inode, extra)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Times)) {
		mtime(inodes[name], f.Times[name])
	}
	if h := f.Root; h != nil {
		fmt.Fprintf(&script, "sif <2> mode 04%04o\nsif <2> uid %d\nsif <2> gid %d\n", h.Mode&0o7777,
			uint32(h.Uid), uint32(h.Gid))
		mtime(2, h.ModTime)
	}
	b.warnTimes(f.Times)
	said, err := b.debugfs(ctx, at, script.Bytes(), true)
	if err != nil {
		return err
	}
	// It repeats each command and goes on after an error: any other line is one.
	for line := range strings.Lines(string(said)) {
		if !strings.HasPrefix(line, "debugfs: sif ") {
			return fmt.Errorf("running debugfs: %s", strings.TrimSpace(line))
		}
	}
	return nil
}

// inodeTime is the nearest time that an inode holds, as its two fields of 32 bits.
func inodeTime(t time.Time) (seconds int32, extra uint32) {
	s, ns := t.Unix(), uint32(t.Nanosecond())
	switch {
	case s < firstTime:
		s, ns = firstTime, 0
	case s > lastTime:
		s, ns = lastTime, 0
	}
	seconds = int32(s)
	return seconds, ns<<2 | uint32((s-int64(seconds))>>32)
}

// warnTimes says which times ext4 cannot hold.
func (b *build) warnTimes(times map[string]time.Time) {
	var first string
	n := 0
	for _, name := range slices.Sorted(maps.Keys(times)) {
		if s := times[name].Unix(); s < firstTime || s > lastTime {
			if n++; first == "" {
				first = fmt.Sprintf("%.200q (%s)", "/"+name, times[name].UTC().Format(time.RFC3339))
			}
		}
	}
	if n > 0 {
		b.c.warn("%d files were modified before 1901 or after 2446, which ext4 cannot hold; "+
			"they get the nearest time. The first is %s", n, first)
	}
}

// inodes finds the inodes of entries, by reading the folders on the way to them, all of one depth at once.
func (b *build) inodes(ctx context.Context, at string, names map[string]time.Time) (map[string]int64, error) {
	parents := map[string]bool{}
	for name := range names {
		for dir := name; dir != "."; {
			dir = path.Dir(dir)
			parents[dir] = true
		}
	}
	found := map[string]int64{".": 2}
	for next := []string{"."}; len(next) > 0; {
		var script bytes.Buffer
		for _, dir := range next {
			fmt.Fprintf(&script, "ls -p <%d>\n", found[dir])
		}
		said, err := b.debugfs(ctx, at, script.Bytes(), false)
		if err != nil {
			return nil, err
		}
		r := bufio.NewReader(bytes.NewReader(said))
		var below []string
		for _, dir := range next {
			err := readFolder(r, func(name string, inode int64) {
				name = path.Join(dir, name)
				if _, wanted := names[name]; wanted || parents[name] {
					found[name] = inode
				}
				if parents[name] {
					below = append(below, name)
				}
			})
			if err != nil {
				return nil, fmt.Errorf("reading what debugfs says of %.200q: %w", "/"+dir, err)
			}
		}
		next = below
	}
	for name := range names {
		if found[name] == 0 {
			return nil, fmt.Errorf("%.200q is not in the filesystem that mke2fs made", "/"+name)
		}
	}
	return found, nil
}

// readFolder reads what "ls -p" of debugfs prints of one folder: the command, then for each entry the line
// /INODE/MODE/UID/GID/NAME/SIZE/, then an empty one. A name may hold anything but a slash, line breaks as well.
func readFolder(r *bufio.Reader, entry func(name string, inode int64)) error {
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "debugfs: ls -p ") {
		return fmt.Errorf("%.100q is not the command", line)
	}
	for {
		c, err := r.ReadByte()
		if err != nil {
			return err
		}
		if c == '\n' {
			return nil
		}
		if c != '/' {
			return fmt.Errorf("an entry begins with %q", c)
		}
		var fields [6]string
		for i := range fields {
			if fields[i], err = r.ReadString('/'); err != nil {
				return err
			}
			fields[i] = fields[i][:len(fields[i])-1]
		}
		inode, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return err
		}
		if c, err = r.ReadByte(); err != nil || c != '\n' {
			return errors.New("an entry does not end with its line")
		}
		if name := fields[4]; name != "." && name != ".." {
			entry(name, inode)
		}
	}
}

// debugfs runs commands and returns what they print.
func (b *build) debugfs(ctx context.Context, at string, commands []byte, write bool) ([]byte, error) {
	// It reads commands from a file alone.
	name := filepath.Join(b.work, "commands")
	if err := os.WriteFile(name, commands, 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(name)
	args := []string{"-f", name, at}
	if write {
		args = append([]string{"-w"}, args...)
	}
	var said bytes.Buffer
	if err := b.p.Run(ctx, program.Call{Stdout: &said}, "debugfs", args...); err != nil {
		return nil, err
	}
	return said.Bytes(), nil
}
