package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// LabelFAT gives the FAT32 filesystem on a device another label of at most 11 characters, in its boot sectors and in
// its root folder, whose first cluster has it since MakeFAT. The filesystem must not be mounted. It is durable on
// return, and each of the three is written whole. (Microsoft's FAT specification 1.03, sections 3.3, 6 and 6.4.)
func LabelFAT(node, label string) (err error) {
	f, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("labelling the EFI system partition: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := labelFAT(f, label); err != nil {
		return fmt.Errorf("labelling the EFI system partition %s: %w", node, err)
	}
	return f.Sync()
}

func labelFAT(f interface {
	io.ReaderAt
	io.WriterAt
}, label string) error {
	const (
		size       = 11   // of a label, padded with blanks
		inBoot     = 71   // BS_VolLab
		volume     = 0x08 // ATTR_VOLUME_ID
		attributes = 0x3f // that tell what an entry is
		entry      = 32   // bytes
	)
	if len(label) > size {
		return fmt.Errorf("%q is too long", label)
	}
	name := fmt.Appendf(nil, "%-11s", label)
	b := make([]byte, 512)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	at16 := func(i int) int64 { return int64(binary.LittleEndian.Uint16(b[i:])) }
	at32 := func(i int) int64 { return int64(binary.LittleEndian.Uint32(b[i:])) }
	sector, cluster := at16(11), at16(11)*int64(b[13])
	if string(b[82:87]) != "FAT32" || b[510] != 0x55 || b[511] != 0xaa || sector < 512 || sector > 4096 ||
		cluster == 0 || cluster > 1<<20 || at32(44) < 2 {
		return errors.New("it is not FAT32")
	}
	data := (at16(14) + int64(b[16])*at32(36)) * sector
	folder := make([]byte, cluster)
	start := data + (at32(44)-2)*cluster
	if _, err := f.ReadAt(folder, start); err != nil {
		return err
	}
	for i := int64(0); i < cluster && folder[i] != 0; i += entry {
		if folder[i] == 0xe5 || folder[i+11]&attributes != volume {
			continue
		}
		if _, err := f.WriteAt(name, start+i); err != nil {
			return err
		}
		for _, boot := range []int64{0, at16(50) * sector} {
			if _, err := f.WriteAt(name, boot+inBoot); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("it has no label")
}

// FATID is the serial number of the FAT filesystem on a device, as fstab and blkid name it: "7A3C-11F0".
func FATID(node string) (string, error) {
	f, err := os.Open(node)
	if err != nil {
		return "", fmt.Errorf("reading the ID of a FAT filesystem: %w", err)
	}
	defer f.Close()
	id, err := fatID(f)
	if err != nil {
		return "", fmt.Errorf("reading the ID of a FAT filesystem: %s: %w", node, err)
	}
	return id, nil
}

// fatID reads the serial number in the boot sector of a FAT32 filesystem, or of a FAT12 or FAT16 (Microsoft's FAT
// specification 1.03, BS_VolID).
func fatID(r io.ReaderAt) (string, error) {
	var b [512]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return "", err
	}
	if b[510] != 0x55 || b[511] != 0xaa {
		return "", errors.New("it has no boot sector")
	}
	for _, at := range []struct {
		id   int
		kind string
	}{{0x43, "FAT32"}, {0x27, "FAT1"}} {
		if strings.HasPrefix(string(b[at.id+15:at.id+23]), at.kind) {
			return fmt.Sprintf("%02X%02X-%02X%02X", b[at.id+3], b[at.id+2], b[at.id+1], b[at.id]), nil
		}
	}
	return "", errors.New("it is not FAT")
}
