package rootfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool/intake/intaketest"

	"golang.org/x/sys/unix"
)

// versions are two versions of an image with all that a filesystem can have: a delta makes the second one, with clones.
func versions(t *testing.T) []*intaketest.Image {
	at := time.Unix(1600000000, 123456789)
	return intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/version": "1\n", "usr/lib/big": strings.Repeat("x", 1<<20),
			"usr/bin/su": "su", "srv/shared/x": "y", "lost+found/file": "of the image", "home/ada/notes": "hers"})
		sparse := filepath.Join(dir, "usr/lib/sparse")
		err := errors.Join(os.WriteFile(sparse, []byte("a beginning"), 0o600), os.Truncate(sparse, 64<<20),
			os.Link(filepath.Join(dir, "usr/lib/big"), filepath.Join(dir, "usr/lib/again")),
			unix.Chmod(filepath.Join(dir, "usr/bin/su"), 0o4755),
			unix.Setxattr(filepath.Join(dir, "etc/version"), "user.note", []byte("n"), 0),
			unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
			unix.Mkfifo(filepath.Join(dir, "pipe"), 0o622))
		// VFS_CAP_REVISION_2 with cap_net_raw, effective (include/uapi/linux/capability.h).
		ping := filepath.Join(dir, "usr/bin/ping")
		err = errors.Join(err, os.WriteFile(ping, []byte("ping"), 0o755), unix.Setxattr(ping, "security.capability",
			[]byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0))
		if err != nil {
			t.Fatal(err)
		}
		disktest.Tool(t, "setfacl", "-m", "u:1000:rwx,d:g:1001:rx", filepath.Join(dir, "srv/shared"))
		disktest.Tool(t, "setfacl", "-m", "u:1002:x", dir)
		if err := errors.Join(unix.Chmod(dir, 0o751), os.Chtimes(dir, at, at)); err != nil {
			t.Fatal(err)
		}
	}, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/version": "2\n"})
		disktest.Tool(t, "cp", "--reflink=always", filepath.Join(dir, "usr/lib/big"), filepath.Join(dir, "opt-big"))
		if err := os.RemoveAll(filepath.Join(dir, "home/ada")); err != nil {
			t.Fatal(err)
		}
	})
}

// A root gets exactly the tree of the image, whatever its filesystem is and had before.
func TestReceive(t *testing.T) {
	all := versions(t)
	for _, kind := range []string{"ext4", "xfs"} {
		dev, dir := disktest.Loop(t, 400<<20, 512), t.TempDir()
		disktest.Tool(t, "mkfs."+kind, "-q", dev)
		disktest.Tool(t, "mount", dev, dir)
		t.Cleanup(func() { disktest.Tool(t, "umount", dir) })
		again := func() {
			disktest.Tool(t, "umount", dir)
			disktest.Tool(t, "mount", dev, dir)
		}
		for i, img := range all {
			var raw int64
			top, opened := dir, (*os.File)(nil)
			if i == 1 { // by a symlink, as that of a mount at no place
				f, err := os.Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				top, opened = fmt.Sprintf("/proc/self/fd/%d", f.Fd()), f
			}
			err := Receive(t.Context(), top, img, Options{Progress: func(n int64) { raw = n }})
			if err != nil || raw != Raw(img) {
				t.Fatalf("%s on %s: Receive = %v, after %d of %d bytes", img.Ref(), kind, err, raw, Raw(img))
			}
			if opened != nil {
				opened.Close()
			}
			again()
			if err := content.Verify(t.Context(), dir, img.Manifest, nil); err != nil {
				t.Errorf("%s on %s: %v", img.Ref(), kind, err)
			}
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, "usr/lib/sparse"), &st); err != nil || st.Blocks*512 > 1<<20 {
				t.Errorf("%s: a sparse file of %d bytes has %d blocks, %v", kind, st.Size, st.Blocks, err)
			}
			// What a system leaves behind until the next update.
			intaketest.Put(t, dir, map[string]string{"var/log/x": "y", folder + "/0/left": "over"})
			disktest.Tool(t, "setfacl", "-m", "u:1003:x", dir)
			disktest.Tool(t, "chattr", "+i", filepath.Join(dir, "etc/version"), filepath.Join(dir, "etc"))
			disktest.Tool(t, "chattr", "+a", filepath.Join(dir, "var/log/x"))
			if err := unix.Setxattr(dir, "user.of", []byte("the system"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A stream that ends early leaves no whole tree, and the next Receive begins again.
func TestReceiveAgain(t *testing.T) {
	img := versions(t)[1]
	dev, dir := disktest.Loop(t, 400<<20, 512), t.TempDir()
	disktest.Tool(t, "mkfs.ext4", "-q", dev)
	disktest.Tool(t, "mount", dev, dir)
	t.Cleanup(func() { disktest.Tool(t, "umount", dir) })
	for i := range 2 {
		img.Between = func(n int, r io.Reader) io.Reader {
			if n == i {
				return io.LimitReader(r, 300)
			}
			return r
		}
		if err := Receive(t.Context(), dir, img, Options{}); err == nil {
			t.Errorf("a stream %d that ends early is received", i)
		}
		if _, err := os.Lstat(filepath.Join(dir, "etc")); err == nil {
			t.Error("a part of the tree is where a system is")
		}
	}
	img.Between = nil
	if err := Receive(t.Context(), dir, img, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := content.Verify(t.Context(), dir, img.Manifest, nil); err != nil {
		t.Error(err)
	}
	wrong := *img
	wrong.Infos = nil
	if err := Receive(t.Context(), dir, noStreams{&wrong, img.Ref()}, Options{}); err == nil ||
		!strings.Contains(err.Error(), "it has no streams") {
		t.Errorf("Receive without streams = %v", err)
	}
}

type noStreams struct {
	*intaketest.Image
	ref string
}

func (n noStreams) Ref() string { return n.ref }
