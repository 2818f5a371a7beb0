package pool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/sysroot"

	"github.com/google/uuid"
)

// ownFile is in our folder of @persistent and names the roots that are partitions. GRUB has the same list in grub.cfg.
const ownFile = "roots.json"

// ownVersion is the version of the file, and maxOwn how many bytes it may have.
const ownVersion, maxOwn = 1, 16 << 10

type ownList struct {
	Version int                  `json:"version"`
	Roots   []bootloader.OwnRoot `json:"roots"`
}

// WriteOwn keeps which partitions the roots of a machine are; dir is the folder of Persistent. It is durable on return:
// a file that is complete and synced is renamed, and the folder synced.
func WriteOwn(dir *os.Root, roots []bootloader.OwnRoot) error {
	b, err := json.MarshalIndent(ownList{ownVersion, roots}, "", "  ")
	if err == nil {
		_, err = parseOwn(b)
	}
	if err == nil {
		err = durable.Disk{}.Replace(filepath.Join(dir.Name(), ownFile), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keeping which partitions the roots are: %w", err)
	}
	return nil
}

// readOwn reads the list in the pool whose top is at a path.
func readOwn(top string) ([]bootloader.OwnRoot, error) {
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name := "@persistent/" + machinekey.Folder + "/" + ownFile
	b, err := sysroot.Dir{Root: root}.Read(name)
	if err == nil {
		var out []bootloader.OwnRoot
		if out, err = parseOwn(b); err == nil {
			return out, nil
		}
	}
	return nil, fmt.Errorf("reading which partitions the roots are (/persistent/%s/%s): %w", machinekey.Folder, ownFile,
		err)
}

func parseOwn(b []byte) ([]bootloader.OwnRoot, error) {
	if len(b) == 0 || len(b) > maxOwn {
		return nil, fmt.Errorf("it has %d bytes, 1 to %d are allowed", len(b), maxOwn)
	}
	var l ownList
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("it has more after the list")
	}
	if l.Version != ownVersion {
		return nil, fmt.Errorf("its version is %d, and this program knows %d: replace the program by a newer one",
			l.Version, ownVersion)
	}
	seen := map[string]bool{}
	for _, r := range l.Roots {
		id, err := uuid.Parse(r.UUID)
		switch {
		case err != nil || id.String() != r.UUID:
			return nil, fmt.Errorf("%q is not the UUID of a filesystem", r.UUID)
		case seen[r.UUID] || seen[r.Name]:
			return nil, fmt.Errorf("two roots have the name %q or the UUID %s", r.Name, r.UUID)
		case bootenv.CheckName(r.Name) != nil:
			return nil, bootenv.CheckName(r.Name)
		}
		seen[r.UUID], seen[r.Name] = true, true
	}
	if len(l.Roots) == 0 {
		return nil, errors.New("it names no root")
	}
	return l.Roots, nil
}
