package resize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"

	"griddle/initramfs/ntfs/trace"

	"golang.org/x/sys/unix"
)

// An interrupted resize2fs leaves all files, and often bitmaps and counts that are wrong: it copies blocks to free
// places, then writes what names the copies, and its superblock last (resize2fs.c of e2fsprogs 1.47). With "yes" to all
// questions e2fsck corrects that, and loses nothing, because the filesystem was whole before; a test does so after each
// write. Two things make that sure: the writes come to the disk in their order (see ordered), and no other system has
// mounted the filesystem since (its superblock has the time).

// checkExt proves that an ext2, ext3 or ext4 is whole and can be shrunk to a size.
func checkExt(ctx context.Context, node string, to int64) error {
	if err := wholeExt(ctx, node); err != nil {
		return err
	}
	out, code, err := ask(ctx, "resize2fs", "-P", node)
	if err != nil || code != 0 {
		return errors.Join(err, fmt.Errorf("asking resize2fs how small it can be: %s", brief(out)))
	}
	least, err := minimum(out)
	if err != nil {
		return err
	}
	block, err := blockSize(node)
	if err != nil {
		return err
	}
	if least > to/block {
		return fmt.Errorf("it cannot be shrunk to %d bytes: it needs %d; choose a larger size, or delete files", to,
			least*block)
	}
	return nil
}

var minimumLine = regexp.MustCompile(`(?m)^Estimated minimum size of the filesystem: ([0-9]{1,18})$`)

// minimum is what "resize2fs -P" says, in blocks.
func minimum(out string) (int64, error) {
	m := minimumLine.FindStringSubmatch(out)
	if m == nil {
		return 0, errors.New("reading the output of resize2fs: the minimum is missing")
	}
	return strconv.ParseInt(m[1], 10, 64)
}

func blockSize(node string) (int64, error) {
	f, err := os.Open(node)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 1024+0x18); err != nil {
		return 0, fmt.Errorf("reading the superblock of %s: %w", node, err)
	}
	return 1024 << min(b[0], 6), nil
}

// wholeExt proves that a filesystem has nothing to correct. It writes nothing.
func wholeExt(ctx context.Context, node string) error {
	s, err := superOf(node, "ext4")
	if err != nil {
		return err
	}
	const again = "start its system, shut it down, and try again"
	if s.ext.unreplayed {
		return fmt.Errorf("it was not unmounted: its journal has changes that are not finished; %s", again)
	}
	out, code, err := ask(ctx, "e2fsck", "-f", "-n", node)
	if err == nil && code != 0 {
		err = fmt.Errorf("e2fsck finds it damaged (%s); check it with `e2fsck -f %s`, or %s", brief(out), node, again)
	}
	return err
}

// superOf reads the superblock of a partition.
func superOf(node, kind string) (super, error) {
	f, err := os.Open(node)
	if err != nil {
		return super{}, err
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return readSuper(f, kind)
}

// shrinkExt shrinks an ext2, ext3 or ext4.
func (o Options) shrinkExt(ctx context.Context, s super) error {
	if o.Begun != nil && o.Begun.Mounted == s.ext.mounted {
		o.say("checking what an interruption left")
		if err := o.correct(); err != nil {
			return err
		}
	}
	o.say("checking the filesystem")
	s, err := superOf(o.Node, o.Kind)
	if err != nil {
		return err
	}
	if s.size <= o.To {
		return wholeExt(ctx, o.Node)
	}
	if err := checkExt(ctx, o.Node, o.To); err != nil {
		return err
	}
	if err := o.Record(ctx, Begun{Mounted: s.ext.mounted}); err != nil {
		return err
	}
	// It wants to see that the filesystem was checked since it was mounted.
	if err := o.correct(); err != nil {
		return err
	}
	o.say("moving data")
	if err := o.ordered("resize2fs", o.Node, fmt.Sprintf("%dK", o.To/1024)); err != nil {
		return err
	}
	return wholeExt(context.WithoutCancel(ctx), o.Node)
}

// correct runs e2fsck, which corrects what it finds.
func (o Options) correct() error {
	err := o.ordered("e2fsck", "-f", "-y", o.Node)
	var exit exitError
	if errors.As(err, &exit) && exit == 1 { // man e2fsck: errors were corrected
		return nil
	}
	return err
}

// exitError is the exit status of a program that failed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("it ended with %d", int(e)) }

// ordered runs a program that writes to a partition, to its end, whatever happens to the caller. Before each of its
// writes, all earlier ones are on the disk, so that a power cut leaves no more than a kill does.
func (o Options) ordered(name string, args ...string) error {
	dev, err := os.OpenFile(o.Node, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	out, err := memory() // which stays when this process is killed: a pipe would then kill the program
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	pending, writes := false, 0
	status, err := trace.Run(cmd, func(c trace.Call) error {
		const printed = 2
		switch c.Number {
		case unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_PWRITE64, unix.SYS_PWRITEV, unix.SYS_PWRITEV2:
			if c.Args[0] <= printed {
				return nil
			}
			if writes++; o.before != nil {
				if err := o.before(writes, c); err != nil {
					return err
				}
			}
			if pending {
				if err := unix.Fdatasync(int(dev.Fd())); err != nil {
					return fmt.Errorf("waiting for the disk: %w", err)
				}
			}
			pending = true
		}
		return nil
	})
	if err == nil {
		err = dev.Sync()
	}
	switch {
	case err != nil:
	case status.Signaled():
		err = fmt.Errorf("it ended by the signal %s", status.Signal())
	case status.ExitStatus() != 0:
		err = exitError(status.ExitStatus())
	}
	if err != nil {
		said := make([]byte, maxOutput)
		n, _ := out.ReadAt(said, 0)
		return fmt.Errorf("running %s on %s: %w: %s", name, o.Node, err, brief(string(said[:n])))
	}
	return nil
}

// memory is a file that is nowhere but in memory.
func memory() (*os.File, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), "output"), nil
}
