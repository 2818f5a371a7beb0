package content

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// dynamic is a partition of a disk on which Windows keeps its volumes in a database of its own, the LDM.
const dynamic = "Windows dynamic disk (LDM)"

// gptTypes are the types of a GPT's entries and their names (UEFI 2.10 section 5.3.3, and what systems define). A new
// entry gets the first type of a name.
func gptTypes() [][2]string {
	return [][2]string{
		{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"},
		{"21686148-6449-6e6f-744e-656564454649", "BIOS boot"},
		{"0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux filesystem"},
		{"4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root"},
		{"933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home"},
		{"bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux boot"},
		{"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"},
		{"e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"},
		{"a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"},
		{"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"},
		{"e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"},
		{"de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"},
		{"6a898cc3-1dd2-11b2-99a6-080020736631", "ZFS"},
		{"7c3457ef-0000-11aa-aa11-00306543ecac", "Apple APFS"},
		{"48465300-0000-11aa-aa11-00306543ecac", "Apple HFS+"},
		{"53746f72-6167-11aa-aa11-00306543ecac", "Apple Core Storage"},
		{"e75caf8f-f680-4cee-afa3-b001e56efc2d", "Windows Storage Spaces"},
		{"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "metadata of a " + dynamic},
		{"af9b60a0-1431-4f62-bc68-3311714a69ad", dynamic},
		{"4fbd7e29-9d25-41b8-afd0-062c0ceff05d", "Ceph OSD"},
		{"aa31e02a-400f-11db-9590-000c2911d1b8", "VMware VMFS"},
		{"9d275380-40ad-11db-bf97-000c2911d1b8", "VMware core dump"},
		{"516e7cba-6ecf-11d6-8ff8-00022d09712b", "ZFS"},
	}
}

// gptType names the type of an entry of a GPT, or is the bare GUID.
func gptType(guid string) string {
	for _, t := range gptTypes() {
		if t[0] == guid {
			return t[1]
		}
	}
	return guid
}

// GPTType is the type of a GPT's entry, a GUID in lower case, by the name in Partition.Type, which may be the GUID
// itself. It fails for a name that is not known.
func GPTType(name string) (string, error) {
	for _, t := range gptTypes() {
		if t[1] == name {
			return t[0], nil
		}
	}
	if id, err := uuid.Parse(name); err == nil && id.String() == name && id != uuid.Nil {
		return name, nil
	}
	return "", fmt.Errorf("a GPT has no type %q", name)
}

// mbrTypes are the types of an MBR's entries and their names. A new entry gets the first type of a name.
func mbrTypes() []mbrKind {
	return []mbrKind{
		{"FAT", []byte{0x0c, 0x01, 0x04, 0x06, 0x0b, 0x0e}},
		{"extended", []byte{0x0f, 0x05, 0x85}},
		{"NTFS or exFAT", []byte{0x07}},
		{"Windows recovery", []byte{0x27}},
		{dynamic, []byte{0x42}},
		{"Linux swap", []byte{0x82}},
		{"Linux filesystem", []byte{0x83}},
		{"Linux LVM", []byte{0x8e}},
		{"GPT protective", []byte{0xee}},
		{"EFI system", []byte{0xef}},
		{"VMware VMFS", []byte{0xfb}},
		{"Linux RAID", []byte{0xfd}},
	}
}

type mbrKind struct {
	name  string
	codes []byte
}

// mbrType names the type of an entry of an MBR, or is the bare number.
func mbrType(kind byte) string {
	for _, t := range mbrTypes() {
		if bytes.IndexByte(t.codes, kind) >= 0 {
			return t.name
		}
	}
	return fmt.Sprintf("0x%02x", kind)
}

// MBRType is the type of an MBR's entry by the name in Partition.Type, which may be the bare number, "0xa5". It fails
// for a name that is not known.
func MBRType(name string) (byte, error) {
	for _, t := range mbrTypes() {
		if t.name == name {
			return t.codes[0], nil
		}
	}
	if digits, ok := strings.CutPrefix(name, "0x"); ok && len(digits) == 2 {
		if n, err := strconv.ParseUint(digits, 16, 8); err == nil && n > 0 {
			return byte(n), nil
		}
	}
	return 0, fmt.Errorf("an MBR has no type %q", name)
}
