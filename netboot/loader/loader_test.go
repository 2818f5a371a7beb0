package loader

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func pe(machine uint16) []byte {
	b := make([]byte, 256)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[60:], 128)
	copy(b[128:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[132:], machine)
	return b
}

func dirWith(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	dir := dirWith(t, map[string][]byte{BIOS: []byte("loader"), UEFI: pe(0x8664), "secret": []byte("x")})
	s, err := Load(dir, BIOS, UEFI)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Names(), " "); got != "snponly.efi undionly.kpxe" {
		t.Errorf("Names = %q", got)
	}
	os.Remove(filepath.Join(dir, BIOS))
	r, err := s.Open(BIOS)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(r); string(b) != "loader" {
		t.Errorf("content %q", b)
	}
	for _, name := range []string{"secret", "../" + BIOS, "/" + BIOS, ""} {
		if _, err := s.Open(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Open(%q) = %v, want ErrNotExist", name, err)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	dir := dirWith(t, map[string][]byte{
		"empty.kpxe": nil, "arm.efi": pe(0xaa64), "text.efi": []byte("hello"), "short.efi": pe(0x8664)[:130],
	})
	_, err := Load(dir, "empty.kpxe", "arm.efi", "text.efi", "short.efi", "missing.efi")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"make boot", "empty.kpxe is empty", "arm.efi is an EFI program for machine 0xaa64",
		"text.efi is not an EFI program", "short.efi is not an EFI program", "missing.efi: no such file"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}
