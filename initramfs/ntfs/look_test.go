package ntfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/ntfs/ntfstest"
	"griddle/initramfs/ntfs/volume"
)

func TestLook(t *testing.T) {
	v := fresh(t)
	before := v.Sum(t)
	f := must[*Facts](t)(Look(t.Context(), v.Device))
	if !f.Fit() || !f.System {
		t.Errorf("Look = %+v, want a Windows that can be shrunk", f)
	}
	if f.Device != ntfstest.Size || f.Size != ntfstest.Size || f.SectorSize != 512 || f.ClusterSize != 4096 {
		t.Errorf("Look = %+v, want %d bytes in clusters of 4096", f, ntfstest.Size)
	}
	// $MFTMirr is in the middle of what mkntfs makes, and that is more than the files and the margin.
	if want := int64(ntfstest.Size/2 + room); f.Minimum != want {
		t.Errorf("Minimum = %d, want %d", f.Minimum, want)
	}
	if f.Used < 20e6 || f.Used > 60e6 {
		t.Errorf("Used = %d", f.Used)
	}
	if files := int64(len(base(t).files)); f.Files < files {
		t.Errorf("Files = %d, want %d or more", f.Files, files)
	}
	move := must[Move](t)(Relocations(t.Context(), v.Device, ntfstest.End))
	if move.Clusters < 1000 || move.Bytes != move.Clusters*4096 {
		t.Errorf("Relocations = %+v", move)
	}
	if move = must[Move](t)(Relocations(t.Context(), v.Device, ntfstest.Size)); move.Clusters != 0 {
		t.Errorf("Relocations of the present size = %+v", move)
	}
	if after := v.Sum(t); after != before {
		t.Error("looking has changed the volume")
	}
}

// TestMinimum tries the size that ntfsresize reports, and one cluster less.
func TestMinimum(t *testing.T) {
	v := fresh(t)
	r := must[report](t)(resizeInfo(t.Context(), "--info", v.Device))
	if _, err := dryRun(t.Context(), v.Device, r.minimum+4096); err != nil {
		t.Errorf("dryRun(minimum) = %v", err)
	}
	_, err := Relocations(t.Context(), v.Device, r.minimum-4096)
	wantRefusal(t, err, TooSmall, fmt.Sprintf("trying to shrink %s to %s: its files do not fit into that size: "+
		"choose a "+
		"larger size, or delete files in Windows and try again", v.Device, size(r.minimum-4096)))
}

// TestRefusals has each reason that Look finds.
func TestRefusals(t *testing.T) {
	const windows = "start Windows, choose Restart (not Shut down), and start this computer from the network again"
	const check = "start Windows, run `chkdsk /f` with the letter of this drive as administrator, restart Windows " +
		"twice, and try again"
	for _, c := range []struct {
		name string
		make func(t *testing.T, v *ntfstest.Volume)
		want []Reason
		text string
	}{
		{"dirty", func(t *testing.T, v *ntfstest.Volume) { v.SetDirty(t, 1024) }, []Reason{Dirty},
			"it is marked for a check by Windows: " + check},
		{"hibernated", hibernate("hibr"), []Reason{Hibernated},
			"Windows is hibernated on it, or was shut down with fast startup: " + windows},
		{"hibernated, capital", hibernate("HIBR"), []Reason{Hibernated},
			"Windows is hibernated on it, or was shut down with fast startup: " + windows},
		{"resumed", hibernate("wake"), nil, ""},
		{"unclean", unclean, []Reason{Unclean}, "Windows has not finished its last changes of it: " + windows},
		{"dirty and hibernated", func(t *testing.T, v *ntfstest.Volume) {
			hibernate("hibr")(t, v)
			v.SetDirty(t, 1024)
		}, []Reason{Dirty, Hibernated}, "it is marked for a check by Windows: " + check},
		{"bitlocker", edit(3, "-FVE-FS-"), []Reason{BitLocker}, "it is encrypted by BitLocker: in the settings of " +
			"Windows, turn off device encryption or BitLocker for this drive, wait until it is decrypted, choose " +
			"Restart, and try again; keep the recovery key"},
		{"FAT", edit(3, "mkfs.fat"), []Reason{NotNTFS}, "it is not an NTFS volume: choose another partition"},
		{"cluster size", edit(13, "\x03"), []Reason{Damaged},
			"it is damaged (reading the boot sector: a cluster size of 1536 is impossible): " + check},
		{"cut", func(t *testing.T, v *ntfstest.Volume) { v.Attach(t, ntfstest.Size-512) }, []Reason{Cut},
			"it has 3221225472 bytes (3.2 GB), and its partition 3221224960 bytes (3.2 GB): the partition table is " +
				"wrong: write nothing to this disk before the table is repaired"},
		{"cut early", func(t *testing.T, v *ntfstest.Volume) { v.Attach(t, 16384) }, []Reason{Cut},
			"it has 3221225472 bytes (3.2 GB), and its partition 16384 bytes (0.0 GB): the partition table is wrong: " +
				"write nothing to this disk before the table is repaired"},
		{"sectors", func(t *testing.T, v *ntfstest.Volume) {
			v.Sector = 4096
			v.Attach(t, ntfstest.Size)
		}, []Reason{Sectors}, "it was made for sectors of 512 bytes, and the disk has 4096: connect the disk as it " +
			"was when Windows was installed"},
		{"record", edit(4*4096+3*1024, "BAAD"), []Reason{Damaged},
			`it is damaged (reading record 3 of $MFT: it begins with "BAAD", not with "FILE"): ` + check},
		{"mirror", edit(ntfstest.Size/2-4096+100, "garbage"), []Reason{Damaged},
			"it is damaged ($MFTMirr is not a copy of $MFT): " + check},
		{"map", stale, []Reason{Damaged}, "it is damaged (ntfsresize finds it inconsistent): " + check},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := fresh(t)
			c.make(t, v)
			before := v.Sum(t)
			f := must[*Facts](t)(Look(t.Context(), v.Device))
			var reasons []Reason
			text := ""
			for _, r := range f.Refusals {
				reasons = append(reasons, r.Reason)
			}
			if len(reasons) > 0 {
				text = f.Refusals[0].Error()
			}
			if fmt.Sprint(reasons) != fmt.Sprint(c.want) || text != c.text || f.Fit() != (c.want == nil) {
				t.Errorf("Look: %q %q\nwant  %q %q", reasons, text, c.want, c.text)
			}
			if c.want == nil {
				return
			}
			var b book
			_, err := Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &b})
			if err == nil || !strings.Contains(err.Error(), c.text) || len(b.entries) > 0 {
				t.Errorf("Shrink = %v after %q", err, b.steps())
			}
			if v.Sum(t) != before {
				t.Error("the volume has changed")
			}
		})
	}
}

// edit writes text at a byte of a volume.
func edit(at int64, text string) func(*testing.T, *ntfstest.Volume) {
	return func(t *testing.T, v *ntfstest.Volume) {
		v.Edit(t, at, len(text), func(p []byte) { copy(p, text) })
	}
}

// hibernate leaves what Windows leaves when it is hibernated, with the first bytes of its file.
func hibernate(magic string) func(*testing.T, *ntfstest.Volume) {
	return func(t *testing.T, v *ntfstest.Volume) {
		v.Mounted(t, "rw", func(dir string) {
			p := append([]byte(magic), make([]byte, 1<<20)...)
			if err := os.WriteFile(filepath.Join(dir, "hiberfil.sys"), p, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// unclean writes two restart pages to $LogFile by which it is in use.
func unclean(t *testing.T, v *ntfstest.Volume) {
	dev := must[*os.File](t)(os.Open(v.Device))
	defer dev.Close()
	vital := must[*volume.Volume](t)(volume.Read(dev)).Vital()
	at := vital[len(vital)-2].At
	page := make([]byte, 4096)
	le := binary.LittleEndian
	copy(page, "RSTR")
	for at, n := range map[int]uint16{4: 30, 6: 9, 24: 48, 26: 1, 28: 1, 48 + 8: 1, 48 + 10: 0xffff, 48 + 20: 208,
		48 + 22: 48, 48 + 36: 48, 48 + 38: 64, 96 + 16: 0xffff, 96 + 18: 0xffff, 96 + 28: 8} {
		le.PutUint16(page[at:], n)
	}
	le.PutUint32(page[16:], 4096)
	le.PutUint32(page[20:], 4096)
	const fileSize = 16 << 20 // the log of a volume of 3 GiB, by mkntfs
	le.PutUint32(page[48+16:], 67-25)
	le.PutUint64(page[48+24:], fileSize)
	copy(page[96+32:], "N\x00T\x00F\x00S\x00")
	le.PutUint16(page[30:], 1)
	for i := range 8 {
		end := page[i*512+510:][:2]
		copy(page[32+2*i:], end)
		le.PutUint16(end, 1)
	}
	v.Edit(t, at, 8192, func(p []byte) { copy(p[copy(p, page):], page) })
}

// stale marks 8 clusters as used that no file has.
func stale(t *testing.T, v *ntfstest.Volume) {
	text := ntfstest.Tool(t, "ntfsinfo", "--force", "--inode", "6", "--verbose", v.Device)
	_, runs, found := strings.Cut(text, "LCN")
	var vcn, lcn, length int64
	if _, err := fmt.Sscanf(runs[strings.Index(runs, "0x"):], "%v %v %v", &vcn, &lcn, &length); !found || err != nil {
		t.Fatalf("ntfsinfo: %v: %s", err, text)
	}
	v.Edit(t, lcn*4096+ntfstest.Size/4096/8-100, 1, func(p []byte) { p[0] = 0xff })
}

// wantRefusal checks that err is a refusal.
func wantRefusal(t *testing.T, err error, want Reason, text string) {
	t.Helper()
	got, ok := findRefusal(err)
	if !ok || got.Reason != want || err.Error() != text {
		t.Errorf("error %v\nwant  %s", err, text)
	}
}

// TestGarbage looks at partitions without NTFS.
func TestGarbage(t *testing.T) {
	random := rand.NewChaCha8([32]byte{2})
	for _, sector := range []int{512, 4096} {
		v := ntfstest.Blank(t, 64<<20, sector)
		f := must[*Facts](t)(Look(t.Context(), v.Device))
		if f.Fit() || len(f.Refusals) != 1 || f.Refusals[0].Reason != NotNTFS {
			t.Errorf("Look at zeros = %+v", f)
		}
		// Volumes whose first MiB is damaged somewhere are looked at without a crash, whatever the answer.
		v.Format(t)
		for range 20 {
			v.Edit(t, random64(random, 80<<10), 16, func(p []byte) { _, _ = random.Read(p) })
			if _, err := Look(t.Context(), v.Device); err != nil {
				t.Logf("Look: %v", err)
			}
		}
	}
}

func random64(r *rand.ChaCha8, n uint64) int64 { return int64(r.Uint64() % n) }

// TestMounted looks at a volume that is in use.
func TestMounted(t *testing.T) {
	v := fresh(t)
	v.Mounted(t, "rw", func(string) {
		f := must[*Facts](t)(Look(t.Context(), v.Device))
		if len(f.Refusals) != 1 || f.Refusals[0].Reason != InUse {
			t.Errorf("Look = %+v", f)
		}
		_, err := Shrink(t.Context(), Options{Device: v.Device, To: ntfstest.End, Journal: &book{}})
		wantRefusal(t, err, InUse, "shrinking the NTFS volume on "+v.Device+" to 2147483648 bytes (2.1 GB): it is "+
			"in use: "+
			"unmount it, or stop the program that has it open, and try again")
	})
}

// TestFormats reads volumes that mkntfs makes in other ways.
func TestFormats(t *testing.T) {
	for _, cluster := range []int{512, 65536, 2 << 20} {
		v := ntfstest.Blank(t, 1024<<20, 512)
		v.Format(t, "--cluster-size", fmt.Sprint(cluster))
		f := must[*Facts](t)(Look(t.Context(), v.Device))
		if !f.Fit() || f.System || f.ClusterSize != cluster {
			t.Errorf("Look at a volume with clusters of %d = %+v", cluster, f)
		}
	}
}

func findRefusal(err error) (Refusal, bool) {
	var r Refusal
	ok := errors.As(err, &r)
	return r, ok
}
