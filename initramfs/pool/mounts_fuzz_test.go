package pool

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever names people give to what they mount, the table of mounts is read.
func FuzzMounts(f *testing.F) {
	f.Add("36 35 0:32 /@roots/x / rw,noatime shared:1 - btrfs /dev/vda3 rw,ssd,subvol=/@roots/x\n")
	f.Add("1 2 3:4 / /a\\040b\\134 rw - cifs //s/x\\011y rw\n1 - -\n -  - \n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "mountinfo")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := mounts(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if m.at == "" || m.kind == "" || m.source == "" {
				t.Errorf("%q has the mount %+v", text, m)
			}
		}
	})
}
