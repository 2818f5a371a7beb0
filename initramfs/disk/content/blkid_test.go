package content

import (
	"strings"
	"testing"
)

func TestParseBlkid(t *testing.T) {
	for in, want := range map[string]Answer{
		"":                                        {},
		"UUID=1234-ABCD\nTYPE=vfat\n":             {"", Signature{Type: "vfat"}, "1234-ABCD"},
		"DEVNAME=/dev/vda\nTYPE=ext4\n":           {"", Signature{Type: "ext4"}, ""},
		"LABEL=a\\ b\\\"\\$x\\\\\nTYPE=x":         {"", Signature{Type: "x", Label: `a b"$x\`}, ""},
		"LABEL=\\x1b[2J\\xc3\\xa4\nTYPE=x\n":      {"", Signature{Type: "x", Label: "[2Jä"}, ""},
		"LABEL=\xff\\\nTYPE=\x1bx\n":              {"", Signature{Type: "x", Label: `\`}, ""},
		"PTTYPE=dos\n":                            {"mbr", Signature{}, ""},
		"PTTYPE=gpt\nUUID=no\nLABEL=of nothing\n": {"gpt", Signature{}, ""},
		"TYPE=" + strings.Repeat("x", 999):        {"", Signature{Type: strings.Repeat("x", 256)}, ""},
		"TYPE=iso9660\nPTTYPE=gpt\nUUID=TYPE=y\nLABEL=" + "Debian\\=1": {"gpt",
			Signature{Type: "iso9660", Label: "Debian=1"}, "TYPE=y"},
	} {
		if got := parseBlkid([]byte(in)); got != want {
			t.Errorf("parseBlkid(%q) = %+v, want %+v", in, got, want)
		}
	}
}

func FuzzParseBlkid(f *testing.F) {
	f.Add([]byte("DEVNAME=/dev/vda\nLABEL=a\\ b\\x1b\nTYPE=ext4\nPTTYPE=dos\n"))
	f.Add([]byte("LABEL=\\x\nTYPE=\\"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := parseBlkid(b)
		for _, s := range []string{a.Table, a.Signature.Type, a.Signature.Label, a.UUID} {
			if Clean(s) != s || len(s) > 64<<10 {
				t.Errorf("parseBlkid(%q) has %q", b, s)
			}
		}
	})
}

// FuzzIdentify puts bytes at the beginning and at the end of a disk, which is where formats have their marks.
func FuzzIdentify(f *testing.F) {
	f.Add([]byte("LABELONE"), []byte("Intel Raid ISM Cfg Sig. "), uint16(0))
	f.Add([]byte("OCFSV2"), []byte("\xde\x11\xde\x11"), uint16(0x400))
	f.Add([]byte("BD"), []byte("\x55\xaa\x01"), uint16(0x400))
	f.Add([]byte("\x5a\x4d"), []byte(begunMagic), uint16(0x418))
	f.Add([]byte("\x57\x45\x56\x82"), []byte("\x83\x74\x02\x6b"), uint16(512))
	f.Add([]byte("\x01GEM\x00\x00\x00\x02\x00\x01\x00\x00"), []byte("$XIDE$"), uint16(0x1c6))
	f.Add([]byte("\x54\x19\x01\x00"), []byte("NVIDIA  "), uint16(8<<10+1372))
	f.Fuzz(func(t *testing.T, head, tail []byte, at uint16) {
		b := make([]byte, 256<<10+int(at)%512)
		copy(b[at:], head)
		copy(b[max(0, len(b)-len(tail)):], tail)
		r := strings.NewReader(string(b))
		c, err := Inspect(r, int64(len(b)), 512)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{c.Begun, c.Damaged, c.Signature.Type, c.Signature.Label} {
			if Clean(s) != s || len(s) > 512 {
				t.Errorf("Inspect says %q", s)
			}
		}
		if c.Recognised() {
			c.Sampled = Zeros
			if c.Blank() {
				t.Errorf("%+v is blank", c)
			}
		}
	})
}

func FuzzReadBegun(f *testing.F) {
	sector, err := BegunSector("5b2f0a4e-7a1c-4d3e-9f00-0123456789ab", 512)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sector)
	f.Add(append(make([]byte, 4096-512), sector...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id := readBegun(strings.NewReader(string(b)), int64(len(b))); id != "" && len(id) != 36 {
			t.Errorf("the ID is %q", id)
		}
	})
}
