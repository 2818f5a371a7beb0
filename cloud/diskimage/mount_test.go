package diskimage

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/cloud/diskimage/tree/treetest"
)

// qemuName is what QEMU calls a format.
func qemuName(f Format) string {
	if f == VHD {
		return "vpc"
	}
	return string(f)
}

// TestGuestMounts reads the fstab of a disk in every format, and looks for each UUID in it among the disk's
// partitions, as the guest does.
func TestGuestMounts(t *testing.T) {
	c, i := &Cache{Dir: t.TempDir()}, small(t, true)
	for _, fs := range []Filesystem{Ext4, Btrfs} {
		// The sectors are the same in every format (TestFormats).
		fstab := readRoot(t, fs,
			partition(t, make1(t, c, i, Options{Format: Raw, Filesystem: fs, Size: smallDisk}).Path), "/etc/fstab")
		for _, f := range []Format{Raw, QCOW2, VHD, VMDK} {
			t.Run(string(fs)+" "+string(f), func(t *testing.T) {
				d := make1(t, c, i, Options{Format: f, Filesystem: fs, Size: smallDisk})
				raw := d.Path
				if f != Raw {
					raw = filepath.Join(t.TempDir(), "raw")
					output(t, "qemu-img", "convert", "-f", qemuName(f), "-O", "raw", d.Path, raw)
				}
				kinds := map[string]string{}
				for start, size := range map[int64]int64{espStart: espSize, rootStart: rootSize(d.Virtual)} {
					ask := func(what string) string {
						return strings.TrimSpace(output(t, "blkid", "-p", "-O", fmt.Sprint(start),
							"-S", fmt.Sprint(size), "-o", "value", "-s", what, raw))
					}
					kinds["UUID="+ask("UUID")] = ask("TYPE")
				}
				mounts := map[string]string{}
				for line := range strings.Lines(fstab) {
					f := strings.Fields(line)
					if len(f) < 3 || f[0] == "#" {
						continue
					}
					if kinds[f[0]] != f[2] {
						t.Errorf("fstab mounts %s as %s, and the partitions are %v", f[0], f[2], kinds)
					}
					mounts[f[1]] = f[0]
				}
				if len(mounts) != 2 || mounts["/"] == "" || mounts["/boot/efi"] == "" {
					t.Errorf("fstab mounts %v, want / and /boot/efi", mounts)
				}
			})
		}
	}
}

// readRoot reads a file of a filesystem without mounting it.
func readRoot(t *testing.T, fs Filesystem, partition, name string) string {
	t.Helper()
	if fs == Ext4 {
		_, content, _ := strings.Cut(output(t, "debugfs", "-R", "cat "+name, partition), "\n") // behind its version
		return content
	}
	dir := t.TempDir()
	up := strings.Split(strings.Trim(name, "/"), "/")
	output(t, "btrfs", "restore", "--path-regex", "^/(|"+strings.Join(up, "(|/")+strings.Repeat(")", len(up))+"$",
		partition, dir)
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestVHD reads the footer of a vhd as Azure does: of fixed size, a whole number of MiB, nothing but
// the sectors before it.
func TestVHD(t *testing.T) {
	d := make1(t, &Cache{Dir: t.TempDir()}, small(t, false), Options{Format: VHD, Size: smallDisk + 3*mib})
	b, err := os.ReadFile(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != d.Virtual+footerSize || d.Virtual != smallDisk+3*mib {
		t.Fatalf("the file has %d bytes, want the %d of the disk and a footer", len(b), d.Virtual)
	}
	footer := [footerSize]byte(b[d.Virtual:])
	size := binary.BigEndian.Uint64(footer[48:])
	kind := binary.BigEndian.Uint32(footer[60:])
	if string(footer[:8]) != "conectix" || kind != 2 || int64(size) != d.Virtual || size%mib != 0 ||
		binary.BigEndian.Uint64(footer[16:]) != ^uint64(0) {
		t.Errorf("the footer says %d bytes of type %d, want %d of type 2: %x", size, kind, d.Virtual, footer[:84])
	}
	if sum := binary.BigEndian.Uint32(footer[footerSum:]); sum != footerChecksum(footer) {
		t.Errorf("the footer's checksum is %x, want %x", sum, footerChecksum(footer))
	}
	var info struct {
		Size   int64 `json:"virtual-size"`
		Format string
	}
	if err := json.Unmarshal([]byte(output(t, "qemu-img", "info", "--output=json", "-f", "vpc", d.Path)),
		&info); err != nil || info.Size != d.Virtual {
		t.Errorf("qemu-img says %+v (%v), want %d bytes", info, err, d.Virtual)
	}
}

// dated is a tree whose files, folders and links have each of the times.
func dated(t *testing.T, times []time.Time) Image {
	t.Helper()
	entries := []tar.Header{{Name: "./boot/vmlinuz-1", Size: 4}}
	for i, at := range times {
		dir := fmt.Sprintf("./d%d\n/", i)
		entries = append(entries,
			tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: at, Format: tar.FormatPAX},
			tar.Header{Name: dir + "f", Size: 1, ModTime: at, Format: tar.FormatPAX},
			tar.Header{Typeflag: tar.TypeSymlink, Name: dir + "l", Linkname: "f", ModTime: at, Format: tar.FormatPAX},
			tar.Header{Typeflag: tar.TypeLink, Name: dir + "h", Linkname: dir + "f", ModTime: time.Unix(1, 0),
				Format: tar.FormatPAX})
	}
	b := treetest.Archive(t, entries...)
	return Image{Ref: "dated:1@amd64", Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(b)), Arch: "amd64",
		Tar: func(_ context.Context, w io.Writer, _ Bytes) error {
			_, err := w.Write(b)
			return err
		}}
}

// TestTimes mounts disks whose files are of times that 32 bits of seconds do not hold. Those of the host's filesystem
// may have no room for them either.
func TestTimes(t *testing.T) {
	times := []time.Time{
		time.Unix(1600000000, 123456789), time.Unix(1<<31-1, 0), time.Unix(1<<31, 0), time.Unix(1<<32, 1),
		time.Unix(5000000000, 999999999), time.Unix(-1, 0), time.Unix(firstTime, 5), time.Unix(lastTime, 7),
		time.Unix(firstTime-1, 5), time.Unix(lastTime+1, 5), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for _, fs := range []Filesystem{Ext4, Btrfs} {
		t.Run(string(fs), func(t *testing.T) {
			var warned []string
			c := &Cache{Dir: t.TempDir(), Warn: func(s string) { warned = append(warned, s) }}
			root := partition(t,
				make1(t, c, dated(t, times), Options{Format: Raw, Filesystem: fs, Size: smallDisk}).Path)
			if fs == Btrfs {
				output(t, "btrfs", "check", root)
			} else {
				output(t, "e2fsck", "-fn", root)
			}
			at := mounted(t, root)
			for i, want := range times {
				if s := want.Unix(); fs == Ext4 && s < firstTime {
					want = time.Unix(firstTime, 0)
				} else if fs == Ext4 && s > lastTime {
					want = time.Unix(lastTime, 0)
				}
				dir := filepath.Join(at, fmt.Sprintf("d%d\n", i))
				for _, name := range []string{dir, dir + "/f", dir + "/l"} {
					st, err := os.Lstat(name)
					if err != nil {
						t.Fatal(err)
					}
					if !st.ModTime().Equal(want) {
						t.Errorf("%q was modified at %v, want %v", name, st.ModTime().UTC(), want.UTC())
					}
				}
			}
			if fs == Btrfs {
				if len(warned) > 0 {
					t.Errorf("it warned %q", warned)
				}
				return
			}
			if len(warned) != 1 || !strings.Contains(warned[0], "11 files were modified before 1901 or after 2446") ||
				!strings.Contains(warned[0], `"/boot/efi" (9999-01-01T00:00:00Z)`) {
				t.Errorf("it warned %q", warned)
			}
			said := output(t, "debugfs", "-R", "stat /boot/vmlinuz-1", root)
			for _, field := range []string{"ctime", "atime", "crtime"} {
				if want := field + ": 0x7fffffff:00000003"; !strings.Contains(said, want) {
					t.Errorf("an inode has no %q, the time of the youngest file:\n%s", want, said)
				}
			}
		})
	}
}

// mounted is where a filesystem is mounted while the test runs.
func mounted(t *testing.T, image string) string {
	t.Helper()
	at := t.TempDir()
	output(t, "mount", "-o", "loop,ro", image, at)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil { // the test's own context has ended
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return at
}

// FuzzFolder: what debugfs prints holds names of a hostile image.
func FuzzFolder(f *testing.F) {
	f.Add([]byte("debugfs: ls -p <2>\n/2/040755/0/0/.//\n/12/100644/0/0/a\nb/0/\n\n"))
	f.Add([]byte("debugfs: ls -p <2>\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if err := readFolder(bufio.NewReader(bytes.NewReader(b)), func(string, int64) {
			n++
		}); err == nil && bytes.Count(b, []byte("/")) < 7*n {
			t.Errorf("%d entries of %q", n, b)
		}
	})
}
