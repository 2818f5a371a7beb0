package diskimage

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// makeExt4 makes the root in its place in the disk, of the tree below dir.
func makeExt4(ctx context.Context, p programs, disk, dir string, size int64, s spec, f found) error {
	// As many inodes as mke2fs gives by default, and in any case a quarter more than there are.
	inodes := max(size/16384, f.entries+f.entries/4+4096)
	err := p.run(ctx, call{inside: true}, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "griddle-root", "-U", s.id("root"), "-b", strconv.Itoa(blockSize),
		"-N", strconv.FormatInt(inodes, 10), "-m", "1", "-e", "remount-ro",
		// GRUB 2.06 reads neither of the two, which younger versions of mke2fs would take.
		"-O", "metadata_csum,64bit,^metadata_csum_seed,^orphan_file",
		"-E", fmt.Sprintf("offset=%d,hash_seed=%s,root_owner=0:0,assume_storage_prezeroed=1", rootStart, s.id("hash")),
		"-d", dir, disk, fmt.Sprintf("%dk", size/1024))
	if err != nil {
		return err
	}
	return setTimes(ctx, p, disk, dir, f)
}

// setTimes replaces the times of access and of change of every inode, which mke2fs takes from the files that it
// copied and which say when that copy was made, and gives the root folder what the image says of it.
func setTimes(ctx context.Context, p programs, disk, dir string, f found) error {
	at := fmt.Sprintf("%s?offset=%d", disk, rootStart)
	var state bytes.Buffer
	if err := p.run(ctx, call{stdout: &state}, "dumpe2fs", "-o", "blocksize="+strconv.Itoa(blockSize), at); err != nil {
		return err
	}
	used, err := usedInodes(state.Bytes())
	if err != nil {
		return fmt.Errorf("reading what dumpe2fs says: %w", err)
	}
	script, err := os.Create(filepath.Join(filepath.Dir(disk), "times"))
	if err != nil {
		return err
	}
	defer script.Close()
	w := bufio.NewWriter(script)
	for _, r := range used {
		for i := r[0]; i <= r[1]; i++ {
			fmt.Fprintf(w, "sif <%d> ctime @%d\nsif <%d> atime @%d\n", i, p.now, i, p.now)
		}
	}
	if h := f.root; h != nil {
		fmt.Fprintf(w, "sif <2> mode 04%04o\nsif <2> uid %d\nsif <2> gid %d\nsif <2> mtime @%d\n", h.Mode&0o7777, uint32(h.Uid), uint32(h.Gid), max(h.ModTime.Unix(), 0))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var said bytes.Buffer
	if err := p.run(ctx, call{stdout: &said}, "debugfs", "-w", "-f", script.Name(), at); err != nil {
		return err
	}
	// It repeats each command and goes on after an error: any other line is one.
	for line := range strings.Lines(said.String()) {
		if !strings.HasPrefix(line, "debugfs: sif ") {
			return fmt.Errorf("running debugfs: %s", strings.TrimSpace(line))
		}
	}
	return nil
}

// usedInodes reads which inodes are not free from the output of dumpe2fs, as ranges in ascending order.
func usedInodes(state []byte) (used [][2]int64, err error) {
	var total, next int64 = 0, 1
	for line := range strings.Lines(string(state)) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		switch {
		case name == "Inode count":
			if total, err = strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err != nil {
				return nil, err
			}
		case name == "Free inodes" && strings.HasPrefix(line, " "): // of a group; the superblock's line is a number
			for r := range strings.SplitSeq(rest, ",") {
				if strings.TrimSpace(r) == "" {
					continue
				}
				a, b, isRange := strings.Cut(strings.TrimSpace(r), "-")
				if !isRange {
					b = a
				}
				first, e1 := strconv.ParseInt(a, 10, 64)
				last, e2 := strconv.ParseInt(b, 10, 64)
				if e1 != nil || e2 != nil || first < next || last < first {
					return nil, fmt.Errorf("free inodes %q", strings.TrimSpace(r))
				}
				if first > next {
					used = append(used, [2]int64{next, first - 1})
				}
				next = last + 1
			}
		}
	}
	if total <= 0 || total < next-1 {
		return nil, fmt.Errorf("%d inodes, of which %d are accounted for", total, next-1)
	}
	if total >= next {
		used = append(used, [2]int64{next, total})
	}
	return used, nil
}
