package template

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Traits is what a publisher should know of a tree.
type Traits struct {
	Empty    bool   // there is nothing below its root
	Arch     string // of its programs, as Debian names it; "" if none of the usual programs is there
	Program  string // the program that showed Arch
	Accounts []Account
	Settings []byte // of SettingsFile, cut after maxSettings bytes; nil without one
}

// SettingsFile is where a template has the settings that its images bring along.
const SettingsFile = "/etc/griddle/settings.yaml"

// maxSettings is more than an image may have, so that a reader sees that a file is too large.
const maxSettings = 1 << 20

// Inspect looks at the tree at dir. It follows symbolic links as the tree's own system would, and never out of it; of
// a hostile tree it reads regular files alone, each up to a bound. What is missing, or has another form, is skipped.
func Inspect(ctx context.Context, dir string) (Traits, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Traits{}, fmt.Errorf("looking at the tree: %w", &os.PathError{Op: "open", Path: dir, Err: err})
	}
	root := os.NewFile(uintptr(fd), dir)
	defer root.Close()
	var t Traits
	if _, err := root.Readdirnames(1); err == io.EOF {
		t.Empty = true
		return t, nil
	} else if err != nil {
		return Traits{}, fmt.Errorf("looking at the tree: %w", err)
	}
	in := tree{fd}
	t.Arch, t.Program = in.arch()
	if t.Accounts, err = in.accounts(ctx); err != nil {
		return Traits{}, fmt.Errorf("looking for accounts in the tree: %w", err)
	}
	if t.Settings, err = in.settings(); err != nil {
		return Traits{}, fmt.Errorf("reading the settings in %s of the template: %w", SettingsFile, err)
	}
	return t, nil
}

// settings reads SettingsFile. It may be missing, and what is there may not be something else.
func (t tree) settings() ([]byte, error) {
	b, err := t.open(SettingsFile, maxSettings)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, nil // no path leads to a file
	case err == nil && b == nil:
		b = []byte{}
	}
	return b, err
}

// tree is the root of a tree, in which paths mean what they would mean after chroot(2).
type tree struct{ fd int }

// read gives the beginning of a regular file, up to max bytes; nil where there is none.
func (t tree) read(path string, max int64) []byte {
	b, err := t.open(path, max)
	if err != nil {
		return nil
	}
	return b
}

// open is read that says why there is nothing.
func (t tree) open(path string, max int64) ([]byte, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	// What is no regular file is not opened for reading: to open a device may do something.
	probe := how
	probe.Flags = unix.O_PATH | unix.O_CLOEXEC
	at, err := unix.Openat2(t.fd, path, &probe)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("it is not a regular file")
	}
	fd, err := unix.Openat2(t.fd, path, &how)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max))
}

// arch finds out for which machines the tree's programs are, by those that every system has.
func (t tree) arch() (arch, program string) {
	for _, p := range []string{"/bin/sh", "/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd",
		"/bin/busybox", "/usr/bin/env"} {
		if a := elfArch(t.read(p, 64)); a != "" {
			return a, p
		}
	}
	return "", ""
}

// elfArch reads the header of an ELF file (elf(5)), and spells the architecture as Debian does; "" for anything else.
// Of ARM the header does not always tell one ABI from the other: "arm" is any of them.
func elfArch(b []byte) string {
	const header = 52 // of the 32-bit form, the shorter one
	if len(b) < header || !bytes.Equal(b[:4], []byte(elf.ELFMAG)) {
		return ""
	}
	var order binary.ByteOrder = binary.LittleEndian
	little := elf.Data(b[elf.EI_DATA]) == elf.ELFDATA2LSB
	if !little {
		order = binary.BigEndian
	}
	wide := elf.Class(b[elf.EI_CLASS]) == elf.ELFCLASS64
	type kind struct {
		machine      elf.Machine
		wide, little bool
	}
	return map[kind]string{
		{elf.EM_X86_64, true, true}:    "amd64",
		{elf.EM_X86_64, false, true}:   "x32",
		{elf.EM_386, false, true}:      "i386",
		{elf.EM_AARCH64, true, true}:   "arm64",
		{elf.EM_ARM, false, true}:      "arm",
		{elf.EM_RISCV, true, true}:     "riscv64",
		{elf.EM_PPC64, true, true}:     "ppc64el",
		{elf.EM_PPC64, true, false}:    "ppc64",
		{elf.EM_S390, true, false}:     "s390x",
		{elf.EM_MIPS, true, true}:      "mips64el",
		{elf.EM_MIPS, false, true}:     "mipsel",
		{elf.EM_LOONGARCH, true, true}: "loong64",
		{elf.EM_SPARC, false, false}:   "sparc",
		{elf.EM_SPARCV9, true, false}:  "sparc64",
	}[kind{elf.Machine(order.Uint16(b[18:])), wide, little}]
}

// Fits says whether programs of the tree run on machines of an architecture; true if that is not known.
func (t Traits) Fits(arch string) bool {
	switch {
	case t.Arch == "" || t.Arch == arch:
		return true
	case t.Arch == "arm":
		return arch == "armhf" || arch == "armel"
	case t.Arch == "i386" || t.Arch == "x32":
		return arch == "amd64" // a 64-bit kernel may be below them
	}
	return false
}
