package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// made is what mkntfs makes in a file of 4 MiB.
func made(t testing.TB, args ...string) []byte {
	t.Helper()
	img := filepath.Join(t.TempDir(), "volume")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, 4<<20)); err != nil {
		t.Fatal(err)
	}
	args = append(args, "--quiet", "--fast", "--force", "--partition-start", "0", img)
	if out, err := exec.Command("mkntfs", args...).CombinedOutput(); err != nil {
		t.Fatalf("mkntfs: %v (package ntfs-3g; run make deps): %s", err, out)
	}
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRead(t *testing.T) {
	for _, c := range []struct{ sector, cluster, record string }{
		{"512", "4096", "1024"}, {"512", "512", "1024"}, {"512", "65536", "1024"}, {"4096", "4096", "4096"},
	} {
		b := made(t, "--sector-size", c.sector, "--cluster-size", c.cluster)
		r := bytes.NewReader(b)
		v, err := Read(r)
		if err != nil {
			t.Errorf("Read(%+v): %v", c, err)
			continue
		}
		if got := []int{v.SectorSize, v.ClusterSize, v.RecordSize}; !slices.Equal(got, []int{number(c.sector),
			number(c.cluster), number(c.record)}) {
			t.Errorf("Read(%+v) = sizes %d", c, got)
		}
		if v.Size() > 4<<20 || v.Size() < 4<<20-int64(v.ClusterSize) || v.Map != Map(v.Clusters()) {
			t.Errorf("Read(%+v) = %d bytes, a map of %d", c, v.Size(), v.Map)
		}
		if v.Dirty || v.System() || v.Files < 11 || v.MirrorCluster() != v.Mirror ||
			!slices.Contains(v.Names, "$MFTMirr") {
			t.Errorf("Read(%+v) = %+v", c, v)
		}
		if same, err := v.SameMirror(r); err != nil || !same {
			t.Errorf("SameMirror(%+v) = %v, %v", c, same, err)
		}
		mft, mirror := v.Ends()
		if mft <= v.MFT*int64(v.ClusterSize) || mirror <= v.Mirror*int64(v.ClusterSize) || max(mft, mirror) > v.Size() {
			t.Errorf("Ends(%+v) = %d, %d", c, mft, mirror)
		}
		for _, e := range v.Vital() {
			if e.At < 0 || e.Length < 512 || e.At+e.Length > 4<<20 {
				t.Errorf("Vital(%+v) has %+v", c, e)
			}
		}
	}
}

func number(s string) int {
	n := 0
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// TestDamaged has bytes that are not those of a volume, and what Read says.
func TestDamaged(t *testing.T) {
	good := made(t)
	boot, err := ParseBoot(good)
	if err != nil {
		t.Fatal(err)
	}
	record := func(n int) int { return int(boot.MFT)*boot.ClusterSize + n*boot.RecordSize }
	for _, c := range []struct {
		name string
		at   int
		put  string
		want string
	}{
		{"sectors of 3", 11, "\x03\x00", "reading the boot sector: a sector size of 3 is impossible"},
		{"no sectors", 40, strings.Repeat("\x00", 8), "a number of sectors of 0 is impossible"},
		{"too many sectors", 47, "\x7f", "a number of sectors of 9151314442816856063 is impossible"},
		{"$MFT outside", 50, "\x01", "a cluster of $MFT of 65540 is impossible"},
		{"$MFTMirr outside", 58, "\x01", "is impossible"},
		{"records of 8 MiB", 64, "\x7f", "a record size of 520192 is impossible"},
		{"records of a byte", 64, "\x00", "a record size of 1 is impossible"},
		{"no record", record(0), "BAAD", `reading record 0 of $MFT: it begins with "BAAD", not with "FILE"`},
		{"fixups", record(1) + 6, "\x09", "reading record 1 of $MFT: it has 9 fixups at byte 48"},
		{"torn", record(3) + 510, "\xff\xff", "reading record 3 of $MFT: it was written only in part"},
		{"no attributes", record(3) + 20, "\x00\x00", "reading $Volume: it has no $VOLUME_INFORMATION"},
		{"no data", record(1) + 20, "\xff\xff", "reading record 1 of $MFT: it does not say where its data is"},
	} {
		b := bytes.Clone(good)
		copy(b[c.at:], c.put)
		if _, err := Read(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Read = %v, want %s", c.name, err, c.want)
		}
	}
	if _, err := Read(bytes.NewReader(good[:boot.MFT*int64(boot.ClusterSize)])); err == nil {
		t.Error("Read of a volume without $MFT succeeds")
	}
	for text, want := range map[string]error{"-FVE-FS-": ErrBitLocker, "MSDOS5.0": ErrNotNTFS} {
		b := bytes.Clone(good)
		copy(b[3:], text)
		if _, err := ReadBoot(bytes.NewReader(b)); !errors.Is(err, want) {
			t.Errorf("ReadBoot(%s) = %v", text, err)
		}
	}
	if _, err := ParseBoot(good[:100]); !errors.Is(err, ErrNotNTFS) {
		t.Errorf("ParseBoot of 100 bytes = %v", err)
	}
	if _, err := ReadBoot(bytes.NewReader(nil)); err == nil {
		t.Error("ReadBoot of nothing succeeds")
	}
}

// TestSameMirror changes one byte of $MFTMirr: what is in use counts, and what is behind it does not.
func TestSameMirror(t *testing.T) {
	good := made(t)
	v, err := Read(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	mirror := int(v.Mirror) * v.ClusterSize
	for at, want := range map[int]bool{0: false, 100: false, 510: false, 1000: true, 3*1024 + 30: false,
		3*1024 + 1000: true} {
		b := bytes.Clone(good)
		b[mirror+at]++
		if same, err := v.SameMirror(bytes.NewReader(b)); err != nil || same != want {
			t.Errorf("SameMirror with another byte at %d = %v, %v", at, same, err)
		}
	}
}

func TestRuns(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Run
		bad  string
	}{
		{"\x21\x10\x00\x01\x00", []Run{{256, 16}}, ""},
		{"\x11\x02\x10\x11\x03\xf8\x00", []Run{{16, 2}, {8, 3}}, ""},
		{"\x01\x05\x11\x01\x07", []Run{{-1, 5}, {7, 1}}, ""},
		{"", nil, ""},
		{"\x11\x00\x01", nil, "its list has a run of 0 clusters"},
		{"\x11\xff\x01", nil, "its list has a run of -1 clusters"},
		{"\x11\x01\xff", nil, "its list has a run of 1 clusters at cluster -1 of 1000"},
		{"\x12\xe8\x03\x01", nil, "its list has a run of 1000 clusters at cluster 1 of 1000"},
		{"\x10\x01", nil, "its list of runs is damaged"},
		{"\x19\x01", nil, "its list of runs is damaged"},
		{"\x88\x01\x02", nil, "its list of runs is damaged"},
	} {
		got, err := parseRuns([]byte(c.in), 1000)
		if c.bad == "" && (err != nil || !slices.Equal(got, c.want)) ||
			c.bad != "" && (err == nil || err.Error() != c.bad) {
			t.Errorf("parseRuns(%q) = %v, %v; want %v %s", c.in, got, err, c.want, c.bad)
		}
	}
}

func TestRewrite(t *testing.T) {
	good := made(t)
	old, err := ParseBoot(good)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseBoot(Rewrite(good[:512], old.Sectors-8, 7))
	if err != nil || b.Sectors != old.Sectors-8 || b.Mirror != 7 || b.MFT != old.MFT || b.Serial != old.Serial {
		t.Errorf("Rewrite makes %+v, %v of %+v", b, err, old)
	}
	if again, _ := ParseBoot(good); again != old {
		t.Error("Rewrite has changed its argument")
	}
}

func TestSystem(t *testing.T) {
	for _, c := range []struct {
		names string
		want  bool
	}{
		{"$MFT Windows Users", true}, {"WINDOWS:Program Files", true}, {"Windows", false}, {"Users", false},
		{"", false},
	} {
		names := strings.Fields(c.names)
		if dir, file, found := strings.Cut(c.names, ":"); found {
			names = []string{dir, file}
		}
		if got := (&Volume{Names: names}).System(); got != c.want {
			t.Errorf("System of %q = %v", names, got)
		}
	}
}

func FuzzParseBoot(f *testing.F) {
	f.Add(made(f)[:512])
	f.Add(made(f, "--cluster-size", "65536")[:512])
	f.Fuzz(func(t *testing.T, p []byte) {
		b, err := ParseBoot(p)
		if err != nil {
			return
		}
		if b.Clusters() < 1 || b.Size() < 512 || b.RecordSize < 512 || b.MFT >= b.Clusters() ||
			b.ClustersIn(b.Size()) < 1 {
			t.Errorf("ParseBoot = %+v", b)
		}
	})
}

// FuzzRead changes two places of a volume.
func FuzzRead(f *testing.F) {
	good := made(f)
	boot, err := ParseBoot(good)
	if err != nil {
		f.Fatal(err)
	}
	mft := uint32(boot.MFT) * uint32(boot.ClusterSize)
	for n := range uint32(7) {
		f.Add(mft+n*1024+20, []byte{0x38, 0}, uint32(13), []byte{8})
	}
	f.Add(mft+5*1024+100, bytes.Repeat([]byte{0xff}, 16), mft+24, binary.LittleEndian.AppendUint32(nil, 1<<31))
	f.Fuzz(func(t *testing.T, at uint32, p []byte, also uint32, q []byte) {
		b := bytes.Clone(good)
		copy(b[int(at)%len(b):], p)
		copy(b[int(also)%len(b):], q)
		r := bytes.NewReader(b)
		v, err := Read(r)
		if err != nil {
			return
		}
		mft, mirror := v.Ends()
		if mft < 0 || mirror < 0 || v.Files < 0 || len(v.Names) > maxNames {
			t.Errorf("Read = %+v, Ends %d, %d", v, mft, mirror)
		}
		for _, e := range v.Vital() {
			if e.At < 0 || e.Length < 0 || e.Length > 1<<20 {
				t.Errorf("Vital has %+v", e)
			}
		}
		_, _ = v.SameMirror(r)
	})
}
