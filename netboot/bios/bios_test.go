package bios

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The programs are what their sources say.
func TestProgramsAreTheirSources(t *testing.T) {
	disk, err := StartDisk("00000000-0000-0000-0000-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, at string
		got      []byte
	}{{"disk", "0x600", disk}, {"memory", "0x7c00", []byte(memory + "\x00\x00")}} {
		dir := t.TempDir()
		object, image := filepath.Join(dir, "program.o"), filepath.Join(dir, "program.bin")
		for _, args := range [][]string{
			{"as", "--32", "-o", object, c.name + ".asm"},
			{"ld", "-m", "elf_i386", "-Ttext", c.at, "--oformat", "binary", "-o", image, object},
		} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s (Debian package binutils, run make deps): %v: %s", strings.Join(args, " "), err, out)
			}
		}
		want, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.got, want) {
			t.Errorf("the program is %x, want what %s.asm gives:\n%x", c.got, c.name, want)
		}
		if len(c.got) > 512 {
			t.Errorf("%s has %d bytes; disk.asm moves 512", c.name, len(c.got))
		}
	}
}

func TestHasMemory(t *testing.T) {
	for _, c := range []struct {
		mib  int
		tail string
	}{{17, "1000"}, {400, "0018"}, {4000, "00f9"}, {16, ""}, {0, ""}, {-1, ""}, {4001, ""}} {
		got, err := HasMemory(c.mib)
		if (err != nil) != (c.tail == "") || err == nil && (len(got) != 47 || hex.EncodeToString(got[45:]) != c.tail) {
			t.Errorf("HasMemory(%d) = %x, %v, want it to end in %q", c.mib, got, err, c.tail)
		}
	}
}

func TestStartDisk(t *testing.T) {
	for _, c := range []struct {
		guid, tail string // the last 17 bytes; "" for an error
	}{
		{"", "01" + strings.Repeat("00", 16)},
		{"1b4e28ba-2fa1-11d2-883f-0016d3cca427", "00ba284e1ba12fd211883f0016d3cca427"},
		{"1B4E28BA-2FA1-11D2-883F-0016D3CCA427", "00ba284e1ba12fd211883f0016d3cca427"},
		{"1b4e28ba", "02ba284e1b" + strings.Repeat("00", 12)},
		{"1B4E28BA", "02ba284e1b" + strings.Repeat("00", 12)},
		{"1b4e28b", ""},
		{"1b4e28ba0", ""},
		{"1b4e28b-", ""},
		{"-1b4e28b", ""},
		{"1b4e28bg", ""},
		{"1b4e28ba2fa111d2883f0016d3cca427", ""},
		{"1b4e28ba-2fa1-11d2-883f-0016d3cca42", ""},
		{"1b4e28ba-2fa1-11d2-883f0-016d3cca427", ""},
		{"1b4e28ba-2fa1-11d2-883f-0016d3cca42g", ""},
		{"../../../../../../../../../../../../", ""},
	} {
		got, err := StartDisk(c.guid)
		if c.tail == "" {
			if err == nil {
				t.Errorf("StartDisk(%q) = %x, want an error", c.guid, got)
			}
			continue
		}
		if err != nil || hex.EncodeToString(got[len(got)-17:]) != c.tail {
			t.Errorf("StartDisk(%q) ends in %x, %v, want %s", c.guid, got[max(0, len(got)-17):], err, c.tail)
		}
	}
}
