package content

import "fmt"

// dynamic is a partition of a disk on which Windows keeps its volumes in a database of its own, the LDM.
const dynamic = "Windows dynamic disk (LDM)"

// gptType names the type of an entry of a GPT (UEFI 2.10 section 5.3.3, and what systems define), or is the bare GUID.
func gptType(guid string) string {
	switch guid {
	case "c12a7328-f81f-11d2-ba4b-00a0c93ec93b":
		return "EFI system"
	case "21686148-6449-6e6f-744e-656564454649":
		return "BIOS boot"
	case "0fc63daf-8483-4772-8e79-3d69d8477de4":
		return "Linux filesystem"
	case "4f68bce3-e8cd-4db1-96e7-fbcaf984b709":
		return "Linux root"
	case "933ac7e1-2eb4-4f13-b844-0e14e2aef915":
		return "Linux home"
	case "bc13c2ff-59e6-4262-a352-b275fd6f7172":
		return "Linux boot"
	case "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f":
		return "Linux swap"
	case "e6d6d379-f507-44c2-a23c-238f2a3df928":
		return "Linux LVM"
	case "a19d880f-05fc-4d3b-a006-743f0f84911e":
		return "Linux RAID"
	case "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7":
		return "Microsoft basic data"
	case "e3c9e316-0b5c-4db8-817d-f92df00215ae":
		return "Microsoft reserved"
	case "de94bba4-06d1-4d40-a16a-bfd50179d6ac":
		return "Windows recovery"
	case "6a898cc3-1dd2-11b2-99a6-080020736631":
		return "ZFS"
	case "7c3457ef-0000-11aa-aa11-00306543ecac":
		return "Apple APFS"
	case "48465300-0000-11aa-aa11-00306543ecac":
		return "Apple HFS+"
	case "53746f72-6167-11aa-aa11-00306543ecac":
		return "Apple Core Storage"
	case "e75caf8f-f680-4cee-afa3-b001e56efc2d":
		return "Windows Storage Spaces"
	case "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3":
		return "metadata of a " + dynamic
	case "af9b60a0-1431-4f62-bc68-3311714a69ad":
		return dynamic
	case "4fbd7e29-9d25-41b8-afd0-062c0ceff05d":
		return "Ceph OSD"
	case "aa31e02a-400f-11db-9590-000c2911d1b8":
		return "VMware VMFS"
	case "9d275380-40ad-11db-bf97-000c2911d1b8":
		return "VMware core dump"
	case "516e7cba-6ecf-11d6-8ff8-00022d09712b":
		return "ZFS"
	}
	return guid
}

// mbrType names the type of an entry of an MBR, or is the bare number.
func mbrType(kind byte) string {
	switch kind {
	case 0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e:
		return "FAT"
	case 0x05, 0x0f, 0x85:
		return "extended"
	case 0x07:
		return "NTFS or exFAT"
	case 0x27:
		return "Windows recovery"
	case 0x42:
		return dynamic
	case 0x82:
		return "Linux swap"
	case 0x83:
		return "Linux filesystem"
	case 0x8e:
		return "Linux LVM"
	case 0xee:
		return "GPT protective"
	case 0xef:
		return "EFI system"
	case 0xfb:
		return "VMware VMFS"
	case 0xfd:
		return "Linux RAID"
	}
	return fmt.Sprintf("0x%02x", kind)
}
