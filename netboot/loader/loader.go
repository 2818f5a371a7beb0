// Package loader reads the files that firmware starts first: undionly.kpxe for BIOS, snponly.efi for UEFI.
//
// Call [Load] on the boot directory. The [Set] that it returns has the files in memory, and each is checked to be what
// its name says. So a full disk or a change in the directory does not affect what a running server sends. A Set never
// changes and may be used by several goroutines.
//
// Checks: a .efi file is a PE image for x86-64 (Microsoft PE format: "MZ", at the offset in byte 60 "PE\0\0", machine
// 0x8664); the others are not empty and below the 32 MiB that TFTP with 512-byte blocks can carry.
package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// The names that Debian's package ipxe gives its loaders.
const (
	BIOS = "undionly.kpxe"
	// UEFI drives the network card through the firmware's driver: small, and it works wherever the firmware could
	// load it at all.
	UEFI = "snponly.efi"
	// UEFIFallback has its own network drivers, for firmware whose driver does not work after the load.
	UEFIFallback = "ipxe.efi"
)

const maxSize = 32 << 20

// Set is a set of loaders by name.
type Set struct{ files map[string][]byte }

// Load reads the named files from dir. The error names every file that is missing or is not what its name says, and
// says how to make them.
func Load(dir string, names ...string) (*Set, error) {
	s := &Set{files: map[string][]byte{}}
	var errs []error
	for _, name := range names {
		b, err := read(filepath.Join(dir, name))
		if err == nil {
			err = check(name, b)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.files[name] = b
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("loading the boot loaders from %s (`make boot` makes them): %w", dir,
			errors.Join(errs...))
	}
	return s, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return b, nil
}

func check(name string, b []byte) error {
	switch {
	case len(b) == 0:
		return fmt.Errorf("%s is empty", name)
	case len(b) > maxSize:
		return fmt.Errorf("%s is larger than %d bytes", name, maxSize)
	case filepath.Ext(name) == ".efi":
		return checkPE(name, b)
	}
	return nil
}

func checkPE(name string, b []byte) error {
	if len(b) < 64 || !bytes.HasPrefix(b, []byte("MZ")) {
		return fmt.Errorf("%s is not an EFI program: no MZ header", name)
	}
	at := int64(binary.LittleEndian.Uint32(b[60:]))
	if at+6 > int64(len(b)) || !bytes.Equal(b[at:at+4], []byte("PE\x00\x00")) {
		return fmt.Errorf("%s is not an EFI program: no PE header", name)
	}
	if m := binary.LittleEndian.Uint16(b[at+4:]); m != 0x8664 {
		return fmt.Errorf("%s is an EFI program for machine %#x, not x86-64 (0x8664)", name, m)
	}
	return nil
}

// Open returns the content of a file, or an error that wraps fs.ErrNotExist.
func (s *Set) Open(name string) (*bytes.Reader, error) {
	b, ok := s.files[name]
	if !ok {
		return nil, fmt.Errorf("no loader %q: %w", name, os.ErrNotExist)
	}
	return bytes.NewReader(b), nil
}

// Names lists the files, sorted.
func (s *Set) Names() []string {
	var names []string
	for n := range s.files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
