package content

import "testing"

// TestTypes: a name leads to a type that has that name; what has no name is its own.
func TestTypes(t *testing.T) {
	for _, k := range append(gptTypes(), [2]string{"024dee41-33e7-11d3-9d69-0008c781f39f",
		"024dee41-33e7-11d3-9d69-0008c781f39f"}) {
		if gptType(k[0]) != k[1] {
			t.Errorf("type %s has the name %q, want %q", k[0], gptType(k[0]), k[1])
		}
		if guid, err := GPTType(k[1]); err != nil || gptType(guid) != k[1] {
			t.Errorf("GPTType(%q) = %s, %v", k[1], guid, err)
		}
	}
	for kind := 1; kind < 256; kind++ {
		if got, err := MBRType(mbrType(byte(kind))); err != nil || mbrType(got) != mbrType(byte(kind)) {
			t.Errorf("MBRType(%q) = %#x, %v", mbrType(byte(kind)), got, err)
		}
	}
	for name, want := range map[string]byte{"FAT": 0x0c, "EFI system": 0xef, "Linux filesystem": 0x83, "0xa5": 0xa5} {
		if got, err := MBRType(name); err != nil || got != want {
			t.Errorf("MBRType(%q) = %#x, %v, want %#x", name, got, err, want)
		}
	}
	for _, name := range []string{"", "Linux", "0x", "0x00", "0x100", "0xzz", "BIOS boot",
		"00000000-0000-0000-0000-000000000000"} {
		if got, err := MBRType(name); err == nil {
			t.Errorf("MBRType(%q) = %#x, want an error", name, got)
		}
	}
	for _, name := range []string{"", "Linux", "0x83", "FAT", "00000000-0000-0000-0000-000000000000",
		"{0fc63daf-8483-4772-8e79-3d69d8477de4}", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"} {
		if got, err := GPTType(name); err == nil {
			t.Errorf("GPTType(%q) = %s, want an error", name, got)
		}
	}
}
