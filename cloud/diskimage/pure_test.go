package diskimage

import (
	"reflect"
	"strings"
	"testing"

	"griddle/cloud/diskimage/tree"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want []string // in the error; none: it is good
	}{
		{"zero", Options{}, nil},
		{"all at once", Options{Format: "iso", Filesystem: "xfs", Size: 5,
			Files: []File{{Path: "x"}, {Path: "/a", Mode: 0o10000}, {Path: "/b"}, {Path: "/b/"}, {Path: "/"}}},
			[]string{`format "iso"`, `filesystem "xfs"`, "size 5", `"x": its path is not absolute`, "mode 10000",
				`"/b/" is given twice`, "root folder"}},
		{"file above", Options{Files: []File{{Path: "/a/../../b"}}}, []string{"leads out of the tree"}},
		{"file and link", Options{Files: []File{{Path: "/a", Link: "b", Content: []byte("c")}}},
			[]string{"more than one of"}},
		{"owner", Options{Files: []File{{Path: "/a", UID: -1}}}, []string{"owner -1:0"}},
		{"too large", Options{Size: MaxSize + mib}, []string{"up to 2 TiB"}},
	} {
		_, err := c.o.filled()
		if (err == nil) != (len(c.want) == 0) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error has no %q: %v", c.name, w, err)
			}
		}
	}
}

// TestKeys has everything that changes a disk change its key, and a format alone change no ID inside.
func TestKeys(t *testing.T) {
	base := spec{Recipe: recipe, Image: "sha256:1", Arch: "amd64", Options: Options{Format: QCOW2, Filesystem: Ext4}}
	keys := map[string]string{base.key(): "the base"}
	for name, change := range map[string]func(*spec){
		"recipe": func(s *spec) { s.Recipe++ }, "image": func(s *spec) { s.Image = "sha256:2" },
		"kernel": func(s *spec) { s.Kernel = "k" }, "GRUB": func(s *spec) { s.GRUB = "g" },
		"filesystem": func(s *spec) { s.Filesystem = Btrfs },
		"size":       func(s *spec) { s.Size = mib }, "args": func(s *spec) { s.Args = []string{"a b"} },
		"more args": func(s *spec) { s.Args = []string{"a", "b"} },
		"file":      func(s *spec) { s.Files = []File{{Path: "/a"}} },
		"mode":      func(s *spec) { s.Files = []File{{Path: "/a", Mode: 1}} },
		"content":   func(s *spec) { s.Files = []File{{Path: "/a", Content: []byte("x")}} },
		"raw":       func(s *spec) { s.Format = Raw },
	} {
		s := base
		change(&s)
		if other, taken := keys[s.key()]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[s.key()] = name
		if same := s.id("root") == base.id("root"); same != (name == "raw") {
			t.Errorf("%s: the root's UUID is the same: %v", name, same)
		}
	}
	if id := base.id("root"); len(id) != 36 || id[14] != '8' || !strings.ContainsRune("89ab", rune(id[19])) {
		t.Errorf("id = %s, which is no UUID of version 8", id)
	}
	if l := base.label(); len(l) != 11 {
		t.Errorf("label %q has not 11 characters", l)
	}
}

func TestFstab(t *testing.T) {
	s := spec{Image: "sha256:1", Options: Options{Filesystem: Btrfs}}
	old := "# mine\n/dev/sda1 / ext4 defaults 0 1\nUUID=1 /x ext4 rw 0 0\ntmpfs  /tmp\ttmpfs size=1g 0 0\nnone none " +
		"swap sw 0 0\nproc /proc proc\nshort\n"
	golden(t, "fstab", fstab([]byte(old), s))
}

func TestUsedInodes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want [][2]int64
		bad  bool
	}{
		{in: "Inode count: 30\nFree inodes: 12\nGroup 0: (Blocks 0-9)\n  Free inodes: 4-5, 9\nGroup 1: (x)\n" +
			"  Free inodes: \nGroup 2\n  Free inodes: 21-30\n", want: [][2]int64{{1, 3}, {6, 8}, {10, 20}}},
		{in: "Inode count: 3\n  Free inodes: \n", want: [][2]int64{{1, 3}}},
		{in: "Inode count: 3\n  Free inodes: 1-9\n", bad: true},
		{in: "Inode count: 30\n  Free inodes: 9-8\n", bad: true},
		{in: "Inode count: 30\n  Free inodes: 8-9\n  Free inodes: 7\n", bad: true},
		{in: "", bad: true},
	} {
		got, err := usedInodes([]byte(c.in))
		if (err != nil) != c.bad || !reflect.DeepEqual(got, c.want) && !c.bad {
			t.Errorf("usedInodes(%q) = %v, %v, want %v", c.in, got, err, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	f := tree.Summary{Bytes: 300 * mib, Entries: 10000}
	got, err := sizes(f, 0)
	if err != nil || got%mib != 0 || got < 600*mib || got > 1024*mib {
		t.Errorf("sizes of 300 MiB = %d MiB, %v", got/mib, err)
	}
	if _, err := sizes(f, 400*mib); err == nil ||
		!strings.Contains(err.Error(), "a disk of 400 MiB is too small: the image needs") {
		t.Errorf("a disk of 400 MiB: %v", err)
	}
	if _, err := sizes(tree.Summary{Bytes: 2 << 40}, 0); err == nil {
		t.Error("an image of 2 TiB has a disk")
	}
}
