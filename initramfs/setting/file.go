package setting

import (
	"context"
	"fmt"
	"strings"

	"griddle/initramfs/passwd"
	"griddle/initramfs/sysroot"
)

// files writes the files of the settings. Owners are those of the root's own passwd and group.
func (w *writer) files(context.Context) error {
	if len(w.s.Files) == 0 {
		return nil
	}
	a, err := w.read()
	if err != nil {
		return err
	}
	for _, f := range w.s.Files {
		name := strings.TrimPrefix(f.Path, "/")
		if st, err := w.Lstat(name); err == nil && st.IsDir() {
			return lacks("files[%s]: it is a folder of the image", f.Path)
		}
		var owner sysroot.Owner
		var ok bool
		if owner.UID, ok = passwd.Number(f.Owner); !ok && f.Owner != "" {
			u, err := a.entry(f.Owner)
			if err != nil {
				return fmt.Errorf("files[%s].owner: %w", f.Path, err)
			}
			owner.UID = u.uid
		}
		if owner.GID, ok = passwd.Number(f.Group); !ok && f.Group != "" {
			if owner.GID, err = a.gid(f.Group); err != nil {
				return fmt.Errorf("files[%s].group: %w", f.Path, err)
			}
		}
		if err := w.WriteAs(name, f.Bytes(), permissions(f.Permissions()), owner); err != nil {
			return fmt.Errorf("files[%s]: %w", f.Path, err)
		}
	}
	return nil
}
