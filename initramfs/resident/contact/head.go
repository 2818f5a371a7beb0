package contact

import (
	"encoding/json"
	"fmt"
	"os"
	"path"

	"griddle/imagestore/head"
	"griddle/initramfs/sysroot"
)

// KeepHead keeps in the service's folder the newest head that a machine saw which booted from the network, so that
// the installed system accepts no older one. A folder that knows a newer one is left as it is, and the error is
// head.ErrRollback. The zero value is nothing. What changes is not synced.
func KeepHead(folder *os.Root, seen head.Seen) error {
	if seen.Key == "" {
		return nil
	}
	name, b, err := seen.File()
	if err != nil {
		return err
	}
	dir, file := sysroot.Dir{Root: folder}, path.Join(seenDir, name)
	old, err := dir.Read(file)
	if err != nil {
		return fmt.Errorf("reading the newest head of the catalog: %w", err)
	}
	var was head.Seen
	if len(old) > 0 && json.Unmarshal(old, &was) == nil && was.Key == seen.Key {
		if err := was.Check(head.Head{Seq: seen.Seq, SHA256: seen.SHA256}); err != nil {
			return fmt.Errorf("this machine knows a newer catalog: %w", err)
		}
	}
	return dir.Write(file, b, 0o644)
}
