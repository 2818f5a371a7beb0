package divide

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"griddle/initramfs/disk/disktest"
)

// theWindows is a disk as Windows divides it, without its largest partition: that is small and has random bytes behind
// its boot sector. 600 MiB are free.
var theWindows struct {
	sync.Mutex
	files map[int]string // by the size of a sector
}

// windows attaches a copy of it, with the serial S1.
func (m *machine) windows(sector int) string {
	m.t.Helper()
	theWindows.Lock()
	defer theWindows.Unlock()
	if theWindows.files[sector] == "" {
		file := filepath.Join(os.TempDir(), fmt.Sprint("windows", sector))
		makeWindows(m.t, file, sector, 64*mib, 1000*mib)
		if theWindows.files == nil {
			theWindows.files = map[int]string{}
		}
		theWindows.files[sector] = file
	}
	return m.attach("S1", copied(m.t, theWindows.files[sector]), sector)
}

func copied(t testing.TB, file string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(file))
	disktest.Tool(t, "cp", "--sparse=always", file, to)
	return to
}

// makeWindows makes a disk with an EFI system partition, a reserved one, an NTFS and one for recovery. Their space is
// filled with random bytes, as far as no filesystem is damaged by that.
func makeWindows(t testing.TB, file string, sector int, ntfs, size int64) {
	t.Helper()
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t}
	dev := m.attach("", file, sector)
	s := int64(sector)
	script := "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n"
	at := int64(mib)
	for _, p := range []struct {
		size int64
		rest string
	}{
		{100 * mib, `type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI system partition", attrs="GUID:63"`},
		{16 * mib, `type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE, name="Microsoft reserved partition", attrs="GUID:63"`},
		{ntfs, `type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, name="Basic data partition"`},
		{32 * mib, `type=DE94BBA4-06D1-4D40-A16A-BFD50179D6AC, attrs="RequiredPartition GUID:63"`},
	} {
		script += fmt.Sprintf("start=%d, size=%d, %s\n", at/s, p.size/s, p.rest)
		at += p.size
	}
	cmd := exec.Command("sfdisk", "--quiet", dev)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	disktest.Tool(t, "partx", "-u", dev)
	disktest.Tool(t, "mkfs.vfat", "-F", "32", "-s", "1", dev+"p1")
	noise(t, dev, 50*mib, 4*mib)
	noise(t, dev, 101*mib, 4*mib)
	disktest.Tool(t, "mkntfs", "-q", "-Q", "-F", "-L", "Windows", dev+"p3")
	disktest.Tool(t, "mkntfs", "-q", "-Q", "-F", dev+"p4")
	noise(t, dev, 117*mib+ntfs+20*mib, 2*mib)
	if free := at + 20*mib; free+20*mib < size { // what was left in free space
		noise(t, dev, free, 2*mib)
		disktest.Tool(t, "mkfs.ext4", "-q", "-F", "-E", fmt.Sprintf("offset=%d", at), dev, "64M")
	}
}

// noise writes random bytes.
func noise(t testing.TB, path string, at, n int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(at >> 20), byte(at >> 12)}).Read(b)
	_, err = f.WriteAt(b, at)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
