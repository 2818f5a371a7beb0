package mounts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

const (
	first  = "0a1b2c3d-0000-4000-8000-0123456789ab"
	second = "1a1b2c3d-0000-4000-8000-0123456789ab"
)

func persistent(t testing.TB) *os.Root {
	t.Helper()
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// What is written is read, and an empty list is none.
func TestWrite(t *testing.T) {
	dir := persistent(t)
	if got, err := Read(dir); got != nil || err != nil {
		t.Errorf("Read without a list = %v, %v", got, err)
	}
	for _, want := range [][]Mount{
		{{UUID: first, Filesystem: "xfs", Path: "/srv"}, {UUID: second, Filesystem: Swap}},
		{{UUID: "1234-ABCD", Filesystem: "vfat", Path: "/srv/exchange"}, {UUID: first, Filesystem: "ext4", Path: Home}},
		{{UUID: first, Filesystem: "ext4", Path: Home, Volume: second, TPM: true}},
		nil, nil,
	} {
		if err := Write(dir, want); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(dir); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Read = %v, %v, want %v", got, err, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	dir := persistent(t)
	for _, c := range []struct{ text, want string }{
		{`{"version": 3, "mounts": []}`, "its version is 3"},
		{`{"version": 1, "mounts": [{"uuid": "` + first + `", "filesystem": "xfs", "path": "/srv", "luks": "` + second +
			`"}]}`, "its version is 1"},
		{`{"version": 2, "mounts": [{"uuid": "` + first + `", "filesystem": "xfs", "path": "/srv", "luks": "x"}]}`,
			"not the UUID of an encrypted volume"},
		{`{"version": 2, "mounts": [{"uuid": "` + first + `", "filesystem": "xfs", "path": "/srv", "tpm2": true}]}`,
			"not the UUID of an encrypted volume"},
		{`{"version": 1, "mounts": [], "more": 1}`, "unknown field"},
		{`{"version": 1, "mounts": []} {}`, "more after the list"},
		{`{`, "unexpected EOF"},
		{``, "EOF"},
		{`{"version": 1, "mounts": [{"uuid": "` + first + `", "filesystem": "zfs", "path": "/srv"}]}`, `"zfs" is not`},
		{`{"version": 1, "mounts": [{"uuid": "x y", "filesystem": "xfs", "path": "/srv"}]}`, `"x y" is not the UUID`},
		{`{"version": 1, "mounts": [{"uuid": "` + first + `", "filesystem": "xfs", "path": "/etc/x"}]}`, "belongs to"},
		{`{"version": 1, "mounts": [{"uuid": "` + first + `", "filesystem": "xfs", "path": "/a b"}]}`,
			"not an absolute"},
		{`{"version": 1, "mounts": [{"uuid": "` + first + `", "filesystem": "xfs", "path": "/a/../b"}]}`,
			"not an absolute"},
		{`{"version": 1, "mounts": [{"uuid": "` + first + `", "filesystem": "swap", "path": "/a"}]}`, "at no path"},
		{strings.Repeat(" ", maxSize+1), "bytes"},
	} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir.Name(), "griddle"), 0o755),
			os.WriteFile(filepath.Join(dir.Name(), File), []byte(c.text), 0o644)); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Read of %.60q = %v, %v, want an error with %q", c.text, got, err, c.want)
		}
	}
	for _, twice := range [][]Mount{
		{{UUID: first, Filesystem: "xfs", Path: "/srv"}, {UUID: second, Filesystem: "xfs", Path: "/srv"}},
		{{UUID: first, Filesystem: "xfs", Path: "/srv"},
			{UUID: strings.ToUpper(first), Filesystem: "xfs", Path: "/mnt"}},
	} {
		if err := Write(dir, twice); err == nil {
			t.Errorf("Write(%v) = nil, want an error", twice)
		}
	}
}

func TestLines(t *testing.T) {
	got := strings.Join(Lines([]Mount{{UUID: first, Filesystem: "xfs", Path: "/srv"},
		{UUID: second, Filesystem: Swap}, {UUID: "1234-ABCD", Filesystem: "vfat", Path: Home}}), "\n")
	const want = "UUID=" + first + " /srv xfs noatime,nofail,x-systemd.device-timeout=90s 0 0\n" +
		"UUID=" + second + " none swap nofail,x-systemd.device-timeout=90s 0 0\n" +
		"UUID=1234-ABCD /home vfat noatime,nofail,x-systemd.device-timeout=90s 0 2"
	if got != want {
		t.Errorf("Lines = %s\nwant %s", got, want)
	}
}

// What is encrypted is opened by one file, and mounted by the other. A list with it is of a version that programs which
// would not open it refuse; one without it is as before.
func TestEncrypted(t *testing.T) {
	all := []Mount{{UUID: "1234-ABCD", Filesystem: "vfat", Path: "/srv"},
		{UUID: first, Filesystem: "ext4", Path: Home, Volume: second, TPM: true},
		{UUID: second, Filesystem: Swap, Volume: first}}
	const want = "luks-" + second + " UUID=" + second + " none luks,tpm2-device=auto,nofail," +
		"x-systemd.device-timeout=90s\n" +
		"luks-" + first + " UUID=" + first + " none luks,nofail,x-systemd.device-timeout=90s\n" +
		"/dev/mapper/luks-" + second + " /home ext4 noatime,nofail,x-systemd.device-timeout=0," +
		"x-systemd.before=local-fs.target 0 2\n" +
		"/dev/mapper/luks-" + first + " none swap nofail,x-systemd.device-timeout=0 0 0"
	if got := strings.Join(append(Volumes(all), Lines(all)[1:]...), "\n"); got != want {
		t.Errorf("the lines are %s\nwant %s", got, want)
	}
	dir := persistent(t)
	for version, list := range map[string][]Mount{`"version": 1`: all[:1], `"version": 2`: all} {
		if err := Write(dir, list); err != nil {
			t.Fatal(err)
		}
		if b, err := dir.ReadFile(File); err != nil || !strings.Contains(string(b), version) {
			t.Errorf("the list has not %s: %s, %v", version, b, err)
		}
	}
	for _, wrong := range [][]Mount{{all[2], all[2]},
		{all[1], {UUID: first, Filesystem: "xfs", Path: "/x", Volume: second}}} {
		if err := Write(dir, wrong); err == nil {
			t.Errorf("Write(%v) = nil, want an error", wrong)
		}
	}
	if node, err := all[1].Node(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Node of a volume that is closed = %q, %v", node, err)
	}
}

// A filesystem is found by its UUID, and one that no disk has is said to be missing.
func TestNode(t *testing.T) {
	dev := disktest.Loop(t, 64<<20, 512)
	disktest.Tool(t, "mkfs.ext4", "-q", "-U", first, dev)
	if got, err := (Mount{UUID: first, Filesystem: "ext4", Path: "/srv"}).Node(t.Context()); err != nil || got != dev {
		t.Errorf("Node = %q, %v, want %s", got, err, dev)
	}
	missing := Mount{UUID: second, Filesystem: "ext4", Path: "/srv"}
	if got, err := missing.Node(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Node of a missing filesystem = %q, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version": 1, "mounts": [{"uuid": "` + first + `", "filesystem": "xfs", "path": "/srv"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parse(b)
		if err != nil {
			return
		}
		for _, line := range Volumes(all) {
			if n := len(strings.Fields(line)); n != 4 || strings.ContainsAny(line, "\n#") {
				t.Errorf("line %q has %d fields", line, n)
			}
		}
		for _, line := range Lines(all) {
			if n := len(strings.Fields(line)); n != 6 || strings.ContainsAny(line, "\n#") {
				t.Errorf("line %q has %d fields", line, n)
			}
		}
	})
}
