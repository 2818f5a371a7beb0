package install

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/swapfile"
	"griddle/initramfs/sysroot"
)

// HomeFile is what the installed system needs to report once that it is up: a PhoneHome as JSON, mode 0600. AgentFile
// is the program that reports.
const (
	HomeFile  = "/etc/griddle/phone-home.json"
	AgentFile = "/usr/lib/griddle/griddle-agent"
)

// PhoneHome is the content of HomeFile.
type PhoneHome struct {
	job.Home
	CA   string `json:"ca"`   // PEM of the certificates that URL is trusted by
	Root string `json:"root"` // the subvolume of the system: "@roots/web-20261120.1@amd64"
}

// homeUnit starts the report when the network is said to be up; the program itself tries again until it gets
// through, and takes HomeFile away, with which the unit ends for good.
const homeUnit = `[Unit]
Description=Report to the Griddle server that this system is up
ConditionPathExists=` + HomeFile + `
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=` + AgentFile + ` phone-home
Restart=on-failure
RestartSec=15

[Install]
WantedBy=multi-user.target
`

// bootable makes the image at dir a system: root, homes, identity, bootloader.
func (w *work) bootable(ctx context.Context, dir string) error {
	w.enter(job.PhaseBootable, "creating the system and its bootloader")
	name := filepath.Base(dir)
	roots := filepath.Join(w.parts.poolDir, "@roots")
	if err := os.MkdirAll(roots, 0o700); err != nil {
		return fmt.Errorf("making folder of roots: %w", err)
	}
	if err := snapshot(dir, roots, name); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Join(roots, name))
	if err != nil {
		return fmt.Errorf("opening root: %w", err)
	}
	defer root.Close()
	sys := system{sysroot.Dir{Root: root}}
	if err := w.volumes(sys, dir); err != nil {
		return err
	}
	if err := sys.identity(w.hostname()); err != nil {
		return err
	}
	if err := sys.fstab(w.parts, "@roots/"+name, w.settings.Swap > 0); err != nil {
		return err
	}
	if err := sys.epoch(time.Now()); err != nil {
		return err
	}
	if err := w.phoneHome(sys, "@roots/"+name); err != nil {
		return err
	}
	if err := w.keepGRUB(sys); err != nil {
		return err
	}
	if err := w.mountVolumes(root, filepath.Join(roots, name)); err != nil {
		return err
	}
	if err := w.service(sys); err != nil {
		return err
	}
	if err := w.apply(ctx, sys, filepath.Join(roots, name)); err != nil {
		return err
	}
	if err := w.hooks(ctx, root); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.bootloader(name)
}

// volumes makes @home, and the folders of what the system mounts. @home begins as a snapshot of the image of which only
// /home is kept: on btrfs nothing can be renamed from one subvolume to another, and a snapshot keeps every attribute.
func (w *work) volumes(sys system, image string) error {
	pool := w.parts.poolDir
	if err := sys.MakeDir("persistent", 0o755); err != nil {
		return err
	}
	entries, err := sys.List("home")
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		if err := createSubvolume(pool, "@home"); err != nil {
			return err
		}
		return sys.MakeDir("home", 0o755)
	}
	if err != nil {
		return err
	}
	if err := snapshot(image, pool, "@home"); err != nil {
		return err
	}
	home, err := os.OpenRoot(filepath.Join(pool, "@home"))
	if err != nil {
		return fmt.Errorf("opening @home: %w", err)
	}
	defer home.Close()
	if err := (system{sysroot.Dir{Root: home}}).keepOnly("home"); err != nil {
		return fmt.Errorf("moving /home into @home: %w", err)
	}
	for _, e := range entries {
		if err := sys.RemoveAll(path.Join("home", e.Name())); err != nil {
			return fmt.Errorf("moving /home into @home: %w", err)
		}
	}
	return nil
}

// mountVolumes mounts on the root, at dir, what the system will mount there.
func (w *work) mountVolumes(root *os.Root, dir string) error {
	for folder, volume := range map[string]string{"home": "@home", "persistent": "@persistent"} {
		if err := mountVolume(w.parts.pool, volume, root, folder); err != nil {
			return err
		}
		w.undo = append(w.undo, func() error { return unmount(filepath.Join(dir, folder)) })
	}
	return nil
}

func (w *work) phoneHome(sys system, root string) error {
	if w.spec.Home.URL == "" || w.o.Agent == "" {
		return nil
	}
	f, err := os.Open(w.o.Agent)
	if err != nil {
		return fmt.Errorf("copying the agent: %w", err)
	}
	defer f.Close()
	if err := sys.Copy(strings.TrimPrefix(AgentFile, "/"), f, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(PhoneHome{Home: w.spec.Home, CA: string(w.o.CA), Root: root}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", HomeFile, err)
	}
	if err := sys.Write(strings.TrimPrefix(HomeFile, "/"), append(b, '\n'), 0o600); err != nil {
		return err
	}
	return sys.enable("griddle-phone-home.service", homeUnit)
}

func (w *work) bootloader(root string) error {
	images := os.DirFS(w.o.GRUB)
	title, _, _ := strings.Cut(w.img.Ref(), "@")
	if err := bootloader.InstallESP(w.parts.espDir, images, bootloader.Config{
		Title: title, ESP: job.ESPLabel(w.spec.ID), PoolID: w.parts.poolID, Root: "@roots/" + root, Args: w.args(),
	}); err != nil {
		return err
	}
	f, err := w.open()
	if err != nil {
		return err
	}
	defer f.Close()
	l := w.parts.layout
	err = bootloader.InstallBIOS(f, images, bootloader.Extent{Start: l.BIOS.Start, Size: l.BIOS.Size}, l.SectorSize)
	if errors.Is(err, bootloader.ErrSectorSize) {
		w.warn("%v: this disk boots only on UEFI", err)
		return nil
	}
	if err == nil && w.o.BIOS {
		err = disk.Activate(f)
	}
	return err
}

// system is the tree of an installed system.
type system struct{ sysroot.Dir }

// fstab writes /etc/fstab. Of the image's own lines those stay that name no block device and none of our folders.
func (s system) fstab(p partitions, root string, swap bool) error {
	old, err := s.Read("etc/fstab")
	if err != nil {
		return err
	}
	lines := []string{"# Written by Griddle when this system was installed."}
	for _, v := range [][2]string{{"/", root}, {"/home", "@home"}, {"/persistent", "@persistent"}} {
		// All three are one filesystem, which is there once the root is: a machine whose udev takes long to say so must
		// not end up in the emergency shell after a minute and a half (systemd.mount(5)).
		lines = append(lines,
			fmt.Sprintf("UUID=%s %s btrfs subvol=/%s,noatime,x-systemd.device-timeout=0 0 0", p.poolID, v[0], v[1]))
	}
	lines = append(lines,
		fmt.Sprintf("UUID=%s /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=10s 0 2", p.espID))
	if swap {
		lines = append(lines, swapfile.Lines("UUID="+p.poolID)...)
	}
	for line := range strings.Lines(string(old)) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || strings.HasPrefix(f[0], "/dev/") ||
			strings.Contains(f[0], "=") || f[2] == "swap" ||
			f[1] == "/" || f[1] == "/home" || f[1] == "/persistent" || f[1] == "/boot/efi" ||
			swap && f[1] == swapfile.Mount {
			continue
		}
		lines = append(lines, strings.Join(f, " "))
	}
	if err := s.MakeDir("boot/efi", 0o700); err != nil {
		return err
	}
	return s.Write("etc/fstab", []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// keepOnly removes everything but the content of one folder, which moves to the top.
func (s system) keepOnly(dir string) error {
	top, err := s.List(".")
	if err != nil {
		return err
	}
	for _, e := range top {
		if e.Name() == dir {
			continue
		}
		if err := s.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	// Out of the way first: the folder may hold one of its own name.
	aside := ".griddle-" + dir
	if err := s.Rename(dir, aside); err != nil {
		return err
	}
	entries, err := s.List(aside)
	if err != nil {
		return err
	}
	st, err := s.Lstat(aside)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.Rename(path.Join(aside, e.Name()), e.Name()); err != nil {
			return err
		}
	}
	if err := s.Remove(aside); err != nil {
		return err
	}
	return s.Chmod(".", st.Mode().Perm())
}

// random returns n bytes that nobody can guess.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
