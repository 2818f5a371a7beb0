// Package mounts keeps what the systems of a machine mount beside their pool: filesystems for data and /home, and swap,
// which a layout of the disks made or kept.
//
// An install writes the list with Write, before it makes the root. The one that makes a root reads it with Read and
// puts Lines into its /etc/fstab, so that each later root mounts the same. Node finds the device of an entry.
//
// The list is in @persistent, which all roots share:
//
//	{"version": 1, "mounts": [
//	  {"uuid": "0a1b2c3d-0000-4000-8000-0123456789ab", "filesystem": "xfs", "path": "/srv"},
//	  {"uuid": "1a1b2c3d-0000-4000-8000-0123456789ab", "filesystem": "swap"}]}
//
// A list that cannot be read is an error and never an empty one: a root without its /home would show people an empty
// folder.
//
// One that is encrypted has the UUID of its volume too. For it the root also needs the Volumes in its /etc/crypttab,
// and an install from the network opens it by Open.
//
// Sources: fstab(5), crypttab(5), systemd.mount(5), systemd.swap(5).
package mounts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"griddle/appliance/layout"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/sysroot"
)

// File is the name of the list in @persistent.
const File = machinekey.Folder + "/mounts.json"

// Version is that of the lists that this package writes where they have encrypted filesystems, which programs of
// version 1 would not open. Others have version 1.
const Version = 2

// version is that of a list with these filesystems.
func version(all []Mount) int {
	if slices.ContainsFunc(all, func(m Mount) bool { return m.Volume != "" || m.TPM }) {
		return Version
	}
	return 1
}

// Home is the path at which a filesystem takes the place of the pool's @home.
const Home = "/home"

// Mount is one filesystem, or swap.
type Mount struct {
	UUID       string `json:"uuid"`           // of the filesystem, as blkid writes it
	Filesystem string `json:"filesystem"`     // one of Filesystems
	Path       string `json:"path,omitempty"` // where it is mounted; "" for swap
	Volume     string `json:"luks,omitempty"` // UUID of the LUKS2 volume that it is in; "" if it is not encrypted
	TPM        bool   `json:"tpm2,omitempty"` // the TPM opens the volume, and a passphrase where it does not
}

// Swap is the filesystem of a Mount that is swap.
const Swap = "swap"

// Filesystems are the values of Mount.Filesystem.
var Filesystems = []string{"ext4", "xfs", "btrfs", "vfat", Swap}

// limits of a list
const (
	maxMounts = 32
	maxSize   = 64 << 10
)

// list is the file.
type list struct {
	Version int     `json:"version"`
	Mounts  []Mount `json:"mounts"`
}

// Read reads the list in persistent, which is @persistent. A pool without one has nil.
func Read(persistent *os.Root) ([]Mount, error) {
	b, err := sysroot.Dir{Root: persistent}.Read(File)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, nil
	}
	return parse(b)
}

func parse(b []byte) ([]Mount, error) {
	wrong := func(err error) ([]Mount, error) {
		return nil, fmt.Errorf("reading what is mounted beside the pool (/persistent/%s): %w", File, err)
	}
	if len(b) > maxSize {
		return wrong(fmt.Errorf("it has %d bytes, %d are allowed", len(b), maxSize))
	}
	var l list
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return wrong(err)
	}
	if d.More() {
		return wrong(errors.New("it has more after the list"))
	}
	if l.Version < version(l.Mounts) || l.Version > Version {
		return wrong(fmt.Errorf("its version is %d, and this program knows %d: replace the program by a newer one",
			l.Version, Version))
	}
	if err := Check(l.Mounts); err != nil {
		return wrong(err)
	}
	return l.Mounts, nil
}

// Check finds the first thing that is wrong with a list.
func Check(all []Mount) error {
	if len(all) > maxMounts {
		return fmt.Errorf("%d filesystems, %d are allowed", len(all), maxMounts)
	}
	seen := map[string]bool{}
	for _, m := range all {
		if err := m.check(); err != nil {
			return err
		}
		for _, key := range []string{"UUID " + strings.ToLower(m.UUID), "path " + m.Path,
			"volume " + strings.ToLower(m.Volume)} {
			if seen[key] && key != "path " && key != "volume " {
				return fmt.Errorf("two filesystems have the %s", key)
			}
			seen[key] = true
		}
	}
	return nil
}

func (m Mount) check() error {
	const hex = "0123456789abcdefABCDEF-"
	switch {
	case len(m.UUID) < 9 || len(m.UUID) > 36 || strings.Trim(m.UUID, hex) != "":
		return fmt.Errorf("%q is not the UUID of a filesystem", m.UUID)
	case m.Volume == "" && m.TPM || m.Volume != "" && (len(m.Volume) != 36 || strings.Trim(m.Volume, hex) != ""):
		return fmt.Errorf("%q is not the UUID of an encrypted volume", m.Volume)
	case !slices.Contains(Filesystems, m.Filesystem):
		return fmt.Errorf("filesystem %q is not one of %s", m.Filesystem, strings.Join(Filesystems, ", "))
	case m.Filesystem == Swap && m.Path != "":
		return fmt.Errorf("swap with UUID %s is mounted at %q, and must be at no path", m.UUID, m.Path)
	case m.Filesystem == Swap:
		return nil
	}
	return layout.CheckMount(m.Path)
}

// Write replaces the list, and removes it if it is empty; persistent is @persistent. It is durable on return, and a
// crash leaves the old list or the new one: a file that is complete and synced is renamed, and the folder synced. Only
// the folder griddle itself must be durable already, or become it by the caller.
func Write(persistent *os.Root, all []Mount) error {
	if err := Check(all); err != nil {
		return fmt.Errorf("keeping what is mounted beside the pool: %w", err)
	}
	if len(all) == 0 {
		if err := persistent.Remove(File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keeping what is mounted beside the pool: %w", err)
		}
	} else if err := replace(persistent, all); err != nil {
		return fmt.Errorf("keeping what is mounted beside the pool: %w", err)
	}
	dir, err := persistent.Open(machinekey.Folder)
	if err != nil {
		return fmt.Errorf("keeping what is mounted beside the pool: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func replace(persistent *os.Root, all []Mount) error {
	b, err := json.MarshalIndent(list{version(all), all}, "", "  ")
	if err != nil {
		return err
	}
	if err := persistent.MkdirAll(machinekey.Folder, 0o755); err != nil {
		return err
	}
	const aside = File + ".new"
	f, err := persistent.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return persistent.Rename(aside, File)
}

// At is the filesystem that is mounted at a path.
func At(all []Mount, p string) (Mount, bool) {
	i := slices.IndexFunc(all, func(m Mount) bool { return m.Path == p })
	if i < 0 {
		return Mount{}, false
	}
	return all[i], true
}

// Lines are the lines of /etc/fstab. A system starts without a filesystem that does not appear: then people can say
// what is missing.
func Lines(all []Mount) (out []string) {
	for _, m := range all {
		if m.Volume != "" {
			out = append(out, m.encryptedLine())
			continue
		}
		const missing = "nofail,x-systemd.device-timeout=90s"
		check := 2 // after the root
		switch m.Filesystem {
		case Swap:
			out = append(out, fmt.Sprintf("UUID=%s none swap %s 0 0", m.UUID, missing))
			continue
		case "xfs", "btrfs":
			check = 0 // these have no check at start
		}
		out = append(out, fmt.Sprintf("UUID=%s %s %s noatime,%s 0 %d", m.UUID, m.Path, m.Filesystem, missing, check))
	}
	return out
}
