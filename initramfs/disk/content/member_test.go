package content

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

// xdr is a nvlist with a number, the name of a pool and a text, as OpenZFS writes one into a label.
func xdr(pool string) string {
	be := binary.BigEndian
	text := func(s string) []byte {
		b := be.AppendUint32(nil, uint32(len(s)))
		return append(append(b, s...), make([]byte, -len(s)&3)...)
	}
	pair := func(name string, kind uint32, value []byte) []byte {
		b := append(text(name), be.AppendUint32(be.AppendUint32(nil, kind), 1)...)
		b = append(b, value...)
		return append(be.AppendUint32(be.AppendUint32(nil, uint32(len(b)+8)), 64), b...)
	}
	b := append([]byte{1, 1, 0, 0}, be.AppendUint64(nil, 1)...) // version 0, unique names
	b = append(b, pair("version", 8, be.AppendUint64(nil, 5000))...)
	b = append(b, pair("name", 9, text(pool))...)
	return string(append(b, pair("hostname", 9, text("nas"))...)) + strings.Repeat("\x00", 8)
}

// TestMembers: a member has the name of what it belongs to.
func TestMembers(t *testing.T) {
	const size, md = 4 << 20, "\xfc\x4e\x2b\xa9"
	le32 := func(n int32) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
	be32 := func(n int32) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	zfs := func(at int, pool string) map[int]string {
		return map[int]string{at + 16<<10: xdr(pool), at + 128<<10 + 1024: "\x0c\xb1\xba\x00\x00\x00\x00\x00"}
	}
	ldm := "PRIVHEAD" + strings.Repeat("\x00", 0xe8) + "DESKTOP-Dg0"
	const stick = "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"
	for _, c := range []struct {
		name string
		at   map[int]string
		want Signature
	}{
		{"md 1.2", map[int]string{4096: md + "\x01", 4096 + 32: "srv:0", 4096 + 72: le32(1)},
			Signature{"linux_raid_member", "srv:0", "RAID1"}},
		{"md 1.1", map[int]string{0: md + "\x01", 32: "srv:1", 72: le32(10)},
			Signature{"linux_raid_member", "srv:1", "RAID10"}},
		{"md 1.0", map[int]string{size - 8192: md + "\x01", size - 8192 + 32: "x", size - 8192 + 72: le32(6)},
			Signature{"linux_raid_member", "x", "RAID6"}},
		{"md 1.2, linear", map[int]string{4096: md + "\x01", 4096 + 72: le32(-1)},
			Signature{"linux_raid_member", "", "linear"}},
		{"md of an unknown level", map[int]string{4096: md + "\x01", 4096 + 72: le32(77)},
			Signature{"linux_raid_member", "", ""}},
		{"md 0.90", map[int]string{size - 65536: md, size - 65536 + 28: le32(5)},
			Signature{"linux_raid_member", "", "RAID5"}},
		{"md 0.90, big endian", map[int]string{size - 65536: "\xa9\x2b\x4e\xfc", size - 65536 + 28: be32(5)},
			Signature{"linux_raid_member", "", "RAID5"}},
		{"ZFS, first label", zfs(0, "tank"), Signature{"zfs_member", "tank", ""}},
		{"ZFS, last label", zfs(size-256<<10, "tank"), Signature{"zfs_member", "tank", ""}},
		{"ZFS, hostile name", zfs(0, "\x1b[2Jtank\xff"), Signature{"zfs_member", "[2Jtank", ""}},
		{"ZFS without a configuration", map[int]string{128 << 10: "\x0c\xb1\xba\x00\x00\x00\x00\x00"},
			Signature{"zfs_member", "", ""}},
		{"LUKS1", map[int]string{0: "LUKS\xba\xbe\x00\x01aes", 24: "not a label"}, Signature{"crypto_LUKS", "", "1"}},
		{"LUKS2", map[int]string{0: "LUKS\xba\xbe\x00\x02", 24: "vault"}, Signature{"crypto_LUKS", "vault", "2"}},
		{"LUKS2, second header alone", map[int]string{0x4000: "SKUL\xba\xbe\x00\x02"},
			Signature{"crypto_LUKS", "", "2"}},
		{"BitLocker", map[int]string{3: "-FVE-FS-"}, Signature{"BitLocker", "", ""}},
		{"BitLocker on a stick", map[int]string{0: "\xeb\x58\x90MSWIN4.1\x00\x02\x08\x20\x00\x02\x00\x00\x00\x00\xf8",
			0x1a8: stick, 510: "\x55\xaa"}, Signature{"BitLocker", "", ""}},
		{"dynamic disk", map[int]string{6 * 512: ldm}, Signature{"ldm", "DESKTOP-Dg0", ""}},
		{"dynamic disk, its end", map[int]string{size - 512: "PRIVHEAD"}, Signature{"ldm", "", ""}},
	} {
		if got := Identify(sparse(size, c.at), size); got != c.want {
			t.Errorf("%s: Identify = %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestDynamicDiskOfOld: what is left of a dynamic disk beside a table without its partitions is not one.
func TestDynamicDiskOfOld(t *testing.T) {
	for kind, want := range map[string]string{"\x42": "ldm", "\x83": ""} {
		at := map[int]string{6 * 512: "PRIVHEAD", 510: "\x55\xaa",
			446: "\x00\x00\x00\x00" + kind + "\x00\x00\x00\x3f\x00\x00\x00\x00\x10\x00\x00"}
		c, err := Inspect(sparse(4<<20, at), 4<<20, 512)
		if err != nil || c.Table != "mbr" || c.Signature.Type != want {
			t.Errorf("type %x: %+v, %v; want %q", kind, c, err, want)
		}
	}
}

// TestVolumeGroup: the name that LVM's own program gave.
func TestVolumeGroup(t *testing.T) {
	dev := disktest.Loop(t, 64<<20, 512)
	config := `devices{filter=["a|` + dev + `|","r|.*|"] use_devicesfile=0} global{locking_type=0}`
	disktest.Tool(t, "pvcreate", "-qq", "-y", "--config", config, dev)
	read := func() Signature {
		f, err := os.Open(dev)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return Identify(f, 64<<20)
	}
	if got, want := read(), (Signature{Type: "LVM2_member"}); got != want {
		t.Errorf("before vgcreate Identify = %+v, want %+v", got, want)
	}
	disktest.Tool(t, "vgcreate", "-qq", "-y", "--config", config, "vg-data.1", dev)
	if got, want := read(), (Signature{Type: "LVM2_member", Label: "vg-data.1"}); got != want {
		t.Errorf("Identify = %+v, want %+v", got, want)
	}
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(xdr("tank")), uint16(0))
	label := make([]byte, 512)
	copy(label, "LABELONE")
	label[20], label[24] = 32, 'L'
	label[32+40+16], label[32+40+17] = 0, 2 // no data area; metadata at 512
	f.Add(append(label, " crc LVM2 x[5A%r0N*>"...), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		for _, name := range []string{nvlistString(b, "name"), lvmGroup(bytes.NewReader(b), int64(at))} {
			if Clean(name) != name || len(name) > 256 {
				t.Errorf("the name is %q", name)
			}
		}
	})
}
