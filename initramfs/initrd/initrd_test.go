package initrd

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// archive is what cpio makes of files with these names.
func archive(t testing.TB, names ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	for i, name := range names {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, bytes.Repeat([]byte("07070"), 333*i+i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return piped(t, []byte(strings.Join(names, "\n")+"\n"), dir, "cpio", "--quiet", "-o", "-H", "newc")
}

// piped is what a program makes of bytes.
func piped(t testing.TB, in []byte, dir, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v (apt-get install cpio xz-utils zstd lz4)", program, err)
	}
	return out
}

// What cpio and the usual programs made, with microcode before it and without.
func TestFiles(t *testing.T) {
	early := archive(t, "kernel/x86/microcode/GenuineIntel.bin")
	main := archive(t, "init", "usr/lib/modules/6.1.0/kernel/fs/xfs/xfs.ko", "usr/bin/mount", "usr/lib/x")
	for name, packed := range map[string][]byte{
		"plain": main,
		"gzip":  piped(t, main, "", "gzip", "-c"),
		"zstd":  piped(t, main, "", "zstd", "-q", "-19", "-c"),
		"xz":    piped(t, main, "", "xz", "--check=crc32", "-c"),
		"lz4":   piped(t, main, "", "lz4", "-l", "-c"),
	} {
		for _, before := range [][]byte{nil, early, append(slices.Clone(early), make([]byte, 1000)...)} {
			var got []string
			err := Files(bytes.NewReader(append(slices.Clone(before), packed...)), func(name string) bool {
				got = append(got, name)
				return true
			})
			want := []string{"init", "usr/lib/modules/6.1.0/kernel/fs/xfs/xfs.ko", "usr/bin/mount", "usr/lib/x"}
			if before != nil {
				want = append([]string{"kernel/x86/microcode/GenuineIntel.bin"}, want...)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s behind %d bytes: %q, %v", name, len(before), got, err)
			}
		}
		seen := 0
		err := Files(bytes.NewReader(packed), func(string) bool { seen++; return seen < 2 })
		if err != nil || seen != 2 {
			t.Errorf("%s: %d files were seen after the second one, %v", name, seen-2, err)
		}
		if err := Files(bytes.NewReader(packed[:len(packed)/2]), func(string) bool { return true }); err == nil {
			t.Errorf("%s: half of it is read without an error", name)
		}
	}
	for _, text := range []string{"an initrd", "070701", "\x1f\x8b", "070701" + strings.Repeat("f", 104),
		strings.Repeat("\x00", 2<<20)} {
		if err := Files(strings.NewReader(text), func(string) bool { return true }); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzFiles(f *testing.F) {
	main := archive(f, "init", "usr/bin/mount")
	f.Add(main)
	f.Add(piped(f, main, "", "gzip", "-c"))
	f.Add(piped(f, main, "", "zstd", "-q", "-c"))
	f.Add(piped(f, main, "", "xz", "-c"))
	f.Add(piped(f, main, "", "lz4", "-l", "-c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = Files(bytes.NewReader(b), func(string) bool { n++; return n < 1000 })
	})
}
