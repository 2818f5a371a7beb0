package diskimage

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"griddle/cloud/diskimage/program"
	"griddle/initramfs/bootloader"
)

// makeESP makes the EFI system partition in its place in the disk, by way of a folder beside it.
func makeESP(ctx context.Context, p program.Runner, disk string, grub fs.FS, s spec) error {
	dir := disk + ".esp"
	// The last console= is /dev/console: what a cloud shows of a server is its serial line.
	args := append([]string{"console=tty0", "console=ttyS0,115200"}, s.Args...)
	if err := bootloader.InstallESP(dir, grub,
		bootloader.Config{Title: s.Title, ESP: s.label(), PoolID: s.id("root"), Flat: true, Args: args}); err != nil {
		return err
	}
	// FAT32 needs 65525 clusters (fatgen103 section 3.5): 64 MiB have twice as many of one sector.
	// --invariant sets a volume ID of its own, 1234-ABCD, so -i comes after it: fstab names the volume by s.volume.
	if err := p.Run(ctx, program.Call{}, "mkfs.vfat", "--invariant", "-F", "32", "-s", "1",
		"-n", s.label(), "-i", s.volume(),
		"--offset", strconv.Itoa(espStart/sector), disk, strconv.Itoa(espSize/1024)); err != nil {
		return err
	}
	at := fmt.Sprintf("%s@@%d", disk, espStart)
	if err := p.Run(ctx, program.Call{}, "mmd", "-i", at, "::/EFI", "::/EFI/BOOT", "::/griddle"); err != nil {
		return err
	}
	for _, name := range []string{"EFI/BOOT/BOOTX64.EFI", "griddle/grub.cfg", "griddle/grubenv"} {
		if err := p.Run(ctx, program.Call{}, "mcopy", "-i", at, filepath.Join(dir, name), "::/"+name); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the copy of the EFI system partition: %w", err)
	}
	return nil
}
