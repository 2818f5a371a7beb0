package newroot

import (
	"encoding/json"
	"regexp"

	"griddle/initramfs/sysroot"
)

// instanceID is what an instance ID may be, see package seed.
var instanceID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Instance is the ID by which cloud-init knows the machine with a root: the one in the seed that Make left there. ""
// for none.
func Instance(root sysroot.Dir) string {
	b, err := root.Read(seedFolder + "/meta-data")
	var meta struct {
		ID string `json:"instance-id"`
	}
	if err != nil || json.Unmarshal(b, &meta) != nil || !instanceID.MatchString(meta.ID) {
		return ""
	}
	return meta.ID
}
