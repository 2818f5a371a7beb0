package subvolume

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// filesystem is a new btrfs filesystem on a loop device, mounted by Top.
func filesystem(t *testing.T) (*Mounted, string) {
	t.Helper()
	img := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, 256<<20)); err != nil {
		t.Fatal(err)
	}
	tool(t, "mkfs.btrfs", "--quiet", "--force", img)
	dev := tool(t, "losetup", "--find", "--show", img)
	t.Cleanup(func() { tool(t, "losetup", "-d", dev) })
	m, err := Top(dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, dev
}

func TestReadAndDelete(t *testing.T) {
	m, dev := filesystem(t)
	before, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(before), dev) {
		t.Errorf("others see the mount:\n%s", before)
	}
	top := m.Dir()
	tool(t, "btrfs", "subvolume", "create", top+"/a")
	tool(t, "btrfs", "subvolume", "snapshot", "-r", top+"/a", top+"/copy")
	for _, dir := range []string{"a/var/lib", "a/deep", "plain"} {
		if err := os.MkdirAll(top+"/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, inner := range []string{"a/var/lib/machines", "a/deep/x", "a/deep/x/y", "a/top"} {
		tool(t, "btrfs", "subvolume", "create", top+"/"+inner)
	}
	if err := os.Symlink("a", top+"/link"); err != nil {
		t.Fatal(err)
	}

	a, err := Read(top + "/a")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(top + "/copy")
	if err != nil {
		t.Fatal(err)
	}
	if a.ID == (ID{}) || c.Parent != a.ID || c.ReadOnly == a.ReadOnly || !c.ReadOnly || a.Device == c.Device {
		t.Errorf("a = %+v, its read-only snapshot = %+v", a, c)
	}
	if age := time.Since(c.Created); age < 0 || age > time.Hour {
		t.Errorf("the snapshot was made at %s", c.Created)
	}
	for _, other := range []string{"plain", "link"} {
		if _, err := Read(top + "/" + other); !errors.Is(err, ErrOther) {
			t.Errorf("Read(%s) = %v, want ErrOther", other, err)
		}
		if err := Delete(top, other); !errors.Is(err, ErrOther) {
			t.Errorf("Delete(%s) = %v, want ErrOther", other, err)
		}
	}
	inner, err := Inner(top + "/a")
	slices.Sort(inner)
	if want := []string{"deep/x", "top", "var/lib/machines"}; err != nil || !slices.Equal(inner, want) {
		t.Errorf("Inner = %v, %v, want %v", inner, err, want)
	}
	if err := Delete(top, "a"); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if m, err = Top(dev); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	top = m.Dir()
	left, _ := os.ReadDir(top)
	if names := fmt.Sprint(left); names != "[d copy/ L link d plain/]" {
		t.Errorf("after the deletion there are %s", names)
	}
}

func TestInnerHasNoLimit(t *testing.T) {
	m, _ := filesystem(t)
	tool(t, "btrfs", "subvolume", "create", m.Dir()+"/a")
	for i := range 300 {
		tool(t, "btrfs", "subvolume", "create", fmt.Sprintf("%s/a/%d", m.Dir(), i))
	}
	if inner, err := Inner(m.Dir() + "/a"); len(inner) != 300 || err != nil {
		t.Errorf("Inner lists %d, %v, want 300", len(inner), err)
	}
	if err := Delete(m.Dir(), "a"); err != nil {
		t.Fatal(err)
	}
}

func TestTopNeedsBtrfs(t *testing.T) {
	img := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(img, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := tool(t, "losetup", "--find", "--show", img)
	defer tool(t, "losetup", "-d", dev)
	if m, err := Top(dev); err == nil {
		t.Errorf("Top of an empty disk = %v", m)
	}
}
