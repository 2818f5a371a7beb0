package windows

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/mounttest"
)

// TestMain runs the tests in a mount namespace of their own.
func TestMain(m *testing.M) {
	Inside()
	mounttest.Own()
	os.Exit(m.Run())
}

// empty is a file of the registry with a root and nothing else (regf, "Format of primary files").
func empty() []byte {
	le := binary.LittleEndian
	b := make([]byte, 8192)
	copy(b, "regf")
	le.PutUint32(b[4:], 1)
	le.PutUint32(b[8:], 1)
	le.PutUint32(b[20:], 1)
	le.PutUint32(b[24:], 3)
	le.PutUint32(b[32:], 1)
	le.PutUint32(b[36:], 32) // the root
	le.PutUint32(b[40:], 4096)
	le.PutUint32(b[44:], 1)
	bin := b[4096:]
	copy(bin, "hbin")
	le.PutUint32(bin[8:], 4096)
	const none = 0xffffffff
	cell := func(at, size int, p []byte) []byte {
		le.PutUint32(bin[at:], uint32(-size))
		copy(bin[at+4:], p)
		return bin[at+4:]
	}
	nk := cell(32, 88, []byte("nk\x2c\x00"))
	for _, at := range []int{16, 28, 32, 40, 48} {
		le.PutUint32(nk[at:], none)
	}
	le.PutUint32(nk[44:], 120)
	le.PutUint16(nk[72:], 4)
	copy(nk[76:], "ROOT")
	sk := cell(120, 48, []byte("sk"))
	le.PutUint32(sk[4:], 120)
	le.PutUint32(sk[8:], 120)
	le.PutUint32(sk[12:], 1)
	le.PutUint32(sk[16:], 20)
	sk[20], sk[23] = 1, 0x80
	le.PutUint32(bin[168:], 4096-168) // free
	sum := uint32(0)
	for at := 0; at < 508; at += 4 {
		sum ^= le.Uint32(b[at:])
	}
	le.PutUint32(b[508:], sum)
	return b
}

// hivefile makes a file of the registry by hivexsh, which is of another project. Each line of commands is a path, or a
// value "name=type:text".
func hivefile(t testing.TB, lines ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hive")
	if err := os.WriteFile(path, empty(), 0o600); err != nil {
		t.Fatal(err)
	}
	script := ""
	var values []string
	flush := func() {
		if len(values) > 0 {
			script += fmt.Sprintf("setval %d\n%s\n", len(values)/2, strings.Join(values, "\n"))
		}
		values = nil
	}
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok {
			values = append(values, name, value)
			continue
		}
		flush()
		script += "cd \\\n"
		for key := range strings.SplitSeq(line, `\`) {
			script += "add " + key + "\ncd " + key + "\n"
		}
	}
	flush()
	cmd := exec.Command("hivexsh", "-w", path)
	cmd.Stdin = strings.NewReader(script + "commit\nquit\n")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "rror") {
		t.Fatalf("hivexsh (run make deps): %v: %s\n%s", err, out, script)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const volumeSize = 16 << 20

// volume is the device of an NTFS with the files of a Windows; nil leaves one out.
func volume(t testing.TB, software, system []byte) string {
	t.Helper()
	dev := disktest.Loop(t, volumeSize, 512)
	disktest.Tool(t, "mkntfs", "-q", "-Q", "-F", dev)
	dir := t.TempDir()
	disktest.Tool(t, "ntfs-3g", dev, dir)
	defer disktest.Tool(t, "umount", dir)
	config := filepath.Join(dir, "Windows/system32/Config")
	if err := os.MkdirAll(config, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // a folder of which the index is more than its root
		if err := os.WriteFile(filepath.Join(filepath.Dir(config), strings.Repeat("x", i%50)+fmt.Sprint(i)), nil,
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range map[string][]byte{"SOFTWARE": software, "SYSTEM": system} {
		if b == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(config, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dev
}

func TestAsk(t *testing.T) {
	const current = `Microsoft\Windows NT\CurrentVersion`
	for _, c := range []struct {
		name, want       string
		software, system []byte
	}{
		{"11", "Windows 11 Pro 23H2, build 22631.3007, on LAB-07",
			hivefile(t, current, "ProductName=string:Windows 10 Pro", "CurrentBuild=string:22631",
				"DisplayVersion=string:23H2", "UBR=dword:3007"),
			hivefile(t, "Select", "Current=dword:2", `ControlSet002\Control\ComputerName\ComputerName`,
				"ComputerName=string:LAB-07")},
		{"10", "Windows 10 Enterprise LTSC 2019 1809, build 17763",
			hivefile(t, current, "ProductName=string:Windows 10 Enterprise LTSC 2019", "CurrentBuild=string:17763",
				"ReleaseId=string:1809"), nil},
		{"a server", "Windows Server 2022 Standard 21H2, build 20348.1",
			hivefile(t, current, "ProductName=string:Windows Server 2022 Standard", "CurrentBuildNumber=string:20348",
				"DisplayVersion=string:21H2", "UBR=dword:1"), nil},
	} {
		dev := volume(t, c.software, c.system)
		before := disktest.Tool(t, "sha256sum", dev)
		s, err := Ask(t.Context(), dev)
		if err != nil || s.String() != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, s, err, c.want)
		}
		if disktest.Tool(t, "sha256sum", dev) != before {
			t.Errorf("%s: asking has changed the volume", c.name)
		}
	}
}

// TestAskHostile: whatever is wrong with a volume, there is an error, and this process goes on.
func TestAskHostile(t *testing.T) {
	good := hivefile(t, `Microsoft\Windows NT\CurrentVersion`, "ProductName=string:Windows 7")
	ring := bytes.Clone(good) // a list of keys that has itself
	at := bytes.Index(ring, []byte("lh"))
	if at < 0 {
		at = bytes.Index(ring, []byte("lf"))
	}
	copy(ring[at:], "ri")
	binary.LittleEndian.PutUint32(ring[at+4:], uint32(at-4-4096))
	for name, c := range map[string]struct {
		dev, want string
	}{
		"no registry":  {volume(t, nil, nil), "opening " + fileSoftware},
		"another file": {volume(t, []byte("a text"), nil), "registry magic"},
		"no key":       {volume(t, empty(), nil), "has no key"},
		"a ring":       {volume(t, ring, nil), "it is damaged"},
	} {
		if s, err := Ask(t.Context(), c.dev); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v, want %q", name, s, err, c.want)
		}
	}
	dev := volume(t, good, nil)
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{0x0d, 0x30, 0x40} { // the boot sector: clusters, $MFT, records
		b := make([]byte, 8)
		_, _ = f.ReadAt(b, at)
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 8), at); err != nil {
			t.Fatal(err)
		}
		if s, err := Ask(t.Context(), dev); err == nil {
			t.Errorf("bytes 0xff at %#x of the boot sector: %+v", at, s)
		}
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := Ask(t.Context(), dev); err != nil || s.Product != "Windows 7" {
		t.Errorf("the repaired volume: %+v, %v", s, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Ask(ctx, dev); err == nil {
		t.Error("Ask does not end with its context")
	}
}

func FuzzNamed(f *testing.F) {
	f.Add("Windows 10 Pro", "22631", "23H2", uint64(3007))
	f.Add("\x1b[2J", "-1", "\xff", uint64(1<<63))
	f.Fuzz(func(t *testing.T, product, build, version string, update uint64) {
		s := named(func(name string) string {
			return map[string]string{"ProductName": product, "CurrentBuild": build, "DisplayVersion": version}[name]
		}, func(string) (uint64, bool) { return update, true })
		if len([]rune(s.String())) > 300 {
			t.Errorf("%q", s)
		}
	})
}

// FuzzAsk damages a volume: there is an error or an answer, and this process goes on.
func FuzzAsk(f *testing.F) {
	dev := volume(f, hivefile(f, `Microsoft\Windows NT\CurrentVersion`, "ProductName=string:Windows 7"), nil)
	v, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer v.Close()
	f.Add([]byte("FILE"), uint32(4*4096))
	f.Add(bytes.Repeat([]byte{0xff}, 16), uint32(4*4096+5*1024+40))
	f.Fuzz(func(t *testing.T, patch []byte, at uint32) {
		place := int64(at) % (volumeSize - 4096)
		patch = patch[:min(len(patch), 4096)]
		before := make([]byte, len(patch))
		if _, err := v.ReadAt(before, place); err != nil {
			t.Fatal(err)
		}
		if _, err := v.WriteAt(patch, place); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = v.WriteAt(before, place) }()
		s, err := Ask(t.Context(), dev)
		if err == nil && s.Product == "" || len(s.String()) > 1200 {
			t.Errorf("%q, %v", s, err)
		}
	})
}
