package bootloader

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"griddle/initramfs/bootloader/coreimage"
)

// BuildOptions says where GRUB is on the build machine; the zero value is right for Debian.
type BuildOptions struct {
	Program string // grub-mkimage; "" means the one in PATH (package grub-common)
	Modules string // folder that holds i386-pc and x86_64-efi; "" means /usr/lib/grub (grub-pc-bin, grub-efi-amd64-bin)
}

// BuildGRUB makes BootImage, CoreImage and EFIImage below dir, and creates dir if it does not exist. The same GRUB
// packages give the same bytes each time.
func BuildGRUB(ctx context.Context, dir string, o BuildOptions) error {
	if o.Program == "" {
		o.Program = "grub-mkimage"
	}
	if o.Modules == "" {
		o.Modules = "/usr/lib/grub"
	}
	boot, err := os.ReadFile(filepath.Join(o.Modules, "i386-pc", "boot.img"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("building GRUB images: %w (Debian package grub-pc-bin; run make deps)", err)
	}
	if err != nil {
		return fmt.Errorf("building GRUB images: %w", err)
	}
	start, err := startDisk()
	if err != nil {
		return fmt.Errorf("building GRUB images: %w", err)
	}
	// ",gpt2" without a drive: core.img fills in the drive that the BIOS started it from.
	if err := mkimage(ctx, o, image{format: "i386-pc", prefix: coreimage.Prefix, out: filepath.Join(dir, CoreImage),
		early: "normal (memdisk)/start.cfg\n", disk: start, modules: biosModules()}); err != nil {
		return err
	}
	// No device at all: the image fills in the partition that the firmware loaded it from.
	if err := mkimage(ctx, o, image{format: "x86_64-efi", prefix: "/griddle", out: filepath.Join(dir, EFIImage),
		early: early, modules: efiModules()}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, BootImage), boot, 0o644); err != nil {
		return fmt.Errorf("building GRUB images: %w", err)
	}
	return nil
}

// early is run by the UEFI image before anything else. A loader that chains to the image after a network boot, as iPXE
// does, leaves it with the network as its device: then the partition is searched for by its label, which InstallESP
// puts in the place of anyESP; a shared one by its UUID. The partition that the image came from is asked first. GRUB's
// parser knows no conditions at this point.
const early = byLabel + anyESP + " root $root\n" + ours

// byLabel and byUUID begin the search for a partition.
const byLabel, byUUID = "search.fs_label ", "search.fs_uuid "

// anyESP stands in the built image where the label of an EFI system partition belongs. It is as long as each of them.
const anyESP = "GRIDDLE-ESP"

// startDisk is a disk in memory, a tar archive, with what core.img runs first: the parser there knows no conditions.
func startDisk() ([]byte, error) {
	text, err := script.ReadFile("script/start.cfg")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	t := tar.NewWriter(&out)
	err = t.WriteHeader(&tar.Header{Name: "start.cfg", Mode: 0o644, Size: int64(len(text)), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = t.Write(text)
	}
	return out.Bytes(), errors.Join(err, t.Close())
}

// image is what mkimage makes.
type image struct {
	format, prefix, out string
	early               string // commands that GRUB runs first
	disk                []byte // in memory; nil for none
	modules             []string
}

func mkimage(ctx context.Context, o BuildOptions, i image) error {
	format := i.format
	dir, err := os.MkdirTemp("", "griddle-grub-")
	if err != nil {
		return fmt.Errorf("building GRUB images: %w", err)
	}
	defer os.RemoveAll(dir)
	conf, disk := filepath.Join(dir, "early.cfg"), filepath.Join(dir, "disk")
	if err := errors.Join(os.MkdirAll(filepath.Dir(i.out), 0o755), os.WriteFile(conf, []byte(i.early), 0o600),
		os.WriteFile(disk, i.disk, 0o600)); err != nil {
		return fmt.Errorf("building GRUB images: %w", err)
	}
	args := []string{"-O", format, "-d", filepath.Join(o.Modules, format), "-o", i.out, "-c", conf}
	if i.disk != nil {
		args = append(args, "-m", disk)
	}
	// The prefix comes last: -m sets another one (grub-mkimage.c), and then GRUB does not know its drive.
	cmd := exec.CommandContext(ctx, o.Program, append(append(args, "-p", i.prefix), i.modules...)...)
	// grub-mkimage stamps EFI images with this (utils/mkimage.c), else with a constant; pin it either way.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SOURCE_DATE_EPOCH=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("building GRUB image for %s: %w (Debian package grub-common; run make deps)", format, err)
		}
		return fmt.Errorf("building GRUB image for %s: %w: %s", format, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// commonModules is everything that grub.cfg uses; nothing is loaded from the disk at boot.
func commonModules() []string {
	return []string{
		"part_gpt", "part_msdos", "fat", "btrfs", "ext2", "xfs",
		"normal", "linux", "configfile", "search", "search_fs_uuid", "search_fs_file", "search_label",
		"regexp", "test", "true", "echo", "sleep", "loadenv", "probe", "ls", "cat", "help", "minicmd", "reboot", "halt",
		"terminal", "gzio", "zstd", "chain",
	}
}

func biosModules() []string {
	return append(commonModules(), "biosdisk", "serial", "memdisk", "tar", "ntfs", "drivemap")
}

func efiModules() []string {
	return append(commonModules(), "efi_gop", "efi_uga", "efifwsetup")
}
