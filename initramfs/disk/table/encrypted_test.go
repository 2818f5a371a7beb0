package table

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// The mark of an encrypted pool changes as that of another one: cut at any write, the disk says what it said before or
// what it says after it, and no byte outside the header of the volume changes.
func TestEncryptedPool(t *testing.T) {
	const size, sector, at, header = 40 << 20, 512, 1 << 20, 32 << 10
	dir := t.TempDir()
	name, part, key := filepath.Join(dir, "disk"), filepath.Join(dir, "part"), filepath.Join(dir, "key")
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size), os.WriteFile(part, nil, 0o600),
		os.Truncate(part, 32<<20), os.WriteFile(key, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "sgdisk", "-n", "1:2048:+32M", name)
	disktest.Tool(t, "cryptsetup", "luksFormat", "--batch-mode", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", key, part)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := os.ReadFile(part)
	if err == nil {
		_, err = f.WriteAt(b, at)
	}
	if err != nil {
		t.Fatal(err)
	}
	read := func() []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	state := func() string {
		c, err := content.Inspect(f, size, sector)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("unfinished %.1s, finished %.1s", c.Unfinished(), c.Finished())
	}
	first := read()
	for _, step := range []struct {
		name string
		do   func(f Writable) error
		want string
	}{
		{"Begin", func(f Writable) error { return BeginEncrypted(f, size, sector, 1, firstJob) },
			"unfinished 5, finished "},
		{"Begin again", func(f Writable) error { return BeginEncrypted(f, size, sector, 1, firstJob) },
			"unfinished 5, finished "},
		{"Mark", func(f Writable) error { return Mark(f, size, sector, firstJob) }, "unfinished , finished 5"},
		{"Adopt", func(f Writable) error { return Adopt(f, size, sector, firstJob, secondJob) },
			"unfinished , finished 6"},
	} {
		before, start := state(), read()
		for n := 0; ; n++ {
			if _, err := f.WriteAt(start[at:at+header], at); err != nil {
				t.Fatal(err)
			}
			err := step.do(&cut{f, n})
			if got := state(); err == nil && got != step.want || got != before && got != step.want {
				t.Errorf("%s: after %d writes and %v it is %q, want %q before and %q after", step.name, n, err, got,
					before, step.want)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, errCut) {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		now := read()
		if !bytes.Equal(now[:at], first[:at]) || !bytes.Equal(now[at+header:], first[at+header:]) {
			t.Errorf("%s: more than the header has changed", step.name)
		}
	}
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"Begin in a pool":      {BeginEncrypted(f, size, sector, 1, firstJob), "has the mark of job " + secondJob},
		"Begin of a btrfs":     {Begin(f, size, sector, 1, firstJob), "has no btrfs"},
		"Mark twice":           {Mark(f, size, sector, secondJob), "does not have the mark"},
		"Adopt of another one": {Adopt(f, size, sector, firstJob, secondJob), "does not have the mark"},
		"Adopt by no job":      {Adopt(f, size, sector, secondJob, "x"), "not the ID of a job"},
		"a header that is larger than its partition": {(volume{f, f, at, 8 << 20}).overflow(), "does not end within"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, c.err, c.want)
		}
	}
	if err := os.WriteFile(part, read()[at:at+32<<20], 0o600); err != nil {
		t.Fatal(err)
	}
	dump := disktest.Tool(t, "cryptsetup", "luksDump", part)
	if !strings.Contains(dump, "griddle:F:"+secondJob) {
		t.Errorf("cryptsetup says:\n%s", dump)
	}
}

func (v volume) overflow() error {
	_, err := v.WriteAt(make([]byte, 4<<20), 6<<20)
	return err
}
