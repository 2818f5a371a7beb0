package diskimage

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"griddle/cloud/diskimage/program"
	"griddle/cloud/diskimage/tree"
)

// ext4 makes the root in its place in the disk, of the tree below dir.
func (b *build) ext4(ctx context.Context, disk, dir string, size int64, f tree.Summary) error {
	p, s := b.p, b.s
	// As many inodes as mke2fs gives by default, and in any case a quarter more than there are.
	inodes := max(size/16384, f.Entries+f.Entries/4+4096)
	err := p.Run(ctx, program.Call{Inside: true}, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "griddle-root",
		"-U", s.id("root"), "-b", strconv.Itoa(tree.BlockSize),
		"-I", "256", // with room for times after 2038
		"-N", strconv.FormatInt(inodes, 10), "-m", "1", "-e", "remount-ro",
		// GRUB 2.06 reads neither of the two, which younger versions of mke2fs would take.
		"-O", "metadata_csum,64bit,^metadata_csum_seed,^orphan_file",
		"-E", fmt.Sprintf("offset=%d,hash_seed=%s,root_owner=0:0,assume_storage_prezeroed=1", rootStart, s.id("hash")),
		"-d", dir, disk, fmt.Sprintf("%dk", size/1024))
	if err != nil {
		return err
	}
	return b.setTimes(ctx, disk, f)
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
