package drive

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program is what its source says.
func TestProgramIsItsSource(t *testing.T) {
	dir := t.TempDir()
	object, image := filepath.Join(dir, "drive.o"), filepath.Join(dir, "drive.bin")
	for _, args := range [][]string{
		{"as", "--32", "-o", object, "drive.asm"},
		{"ld", "-m", "elf_i386", "-Ttext", "0x600", "--oformat", "binary", "-o", image, object},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s (Debian package binutils, run make deps): %v: %s", strings.Join(args, " "), err, out)
		}
	}
	want, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Program("00000000-0000-0000-0000-000000000000")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Program = %x, %v, want what drive.asm gives:\n%x", got, err, want)
	}
	if len(got) > 512 {
		t.Errorf("the program has %d bytes, and moves 512", len(got))
	}
}

func TestProgram(t *testing.T) {
	for _, c := range []struct {
		guid, tail string // the last 17 bytes; "" for an error
	}{
		{"", "01" + strings.Repeat("00", 16)},
		{"1b4e28ba-2fa1-11d2-883f-0016d3cca427", "00ba284e1ba12fd211883f0016d3cca427"},
		{"1B4E28BA-2FA1-11D2-883F-0016D3CCA427", "00ba284e1ba12fd211883f0016d3cca427"},
		{"1b4e28ba2fa111d2883f0016d3cca427", ""},
		{"1b4e28ba-2fa1-11d2-883f-0016d3cca42", ""},
		{"1b4e28ba-2fa1-11d2-883f0-016d3cca427", ""},
		{"1b4e28ba-2fa1-11d2-883f-0016d3cca42g", ""},
		{"../../../../../../../../../../../../", ""},
	} {
		got, err := Program(c.guid)
		if c.tail == "" {
			if err == nil {
				t.Errorf("Program(%q) = %x, want an error", c.guid, got)
			}
			continue
		}
		if err != nil || hex.EncodeToString(got[len(got)-17:]) != c.tail {
			t.Errorf("Program(%q) ends in %x, %v, want %s", c.guid, got[max(0, len(got)-17):], err, c.tail)
		}
	}
}
