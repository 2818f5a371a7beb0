package imagestore_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(imagetest.Need(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// btrfsDir mounts a new btrfs on a loop device.
func btrfsDir(t *testing.T) string {
	t.Helper()
	tmp := t.TempDir()
	file, dir := filepath.Join(tmp, "btrfs.img"), filepath.Join(tmp, "mnt")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 256<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.btrfs", "-q", file)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-o", "loop", file, dir)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// TestChainIntoBtrfsReceive exports a chain back to back and lets the stock program receive it.
func TestChainIntoBtrfsReceive(t *testing.T) {
	dir := btrfsDir(t)
	src := filepath.Join(dir, "src")
	run(t, "btrfs", "subvolume", "create", src)
	f := newFixture(t)
	var parent string
	for i, text := range []string{"one", "two", "three"} {
		if err := os.WriteFile(filepath.Join(src, "file-"+text), []byte(strings.Repeat(text, 5000)),
			0o644); err != nil {
			t.Fatal(err)
		}
		snap := filepath.Join(dir, "web@"+text)
		run(t, "btrfs", "subvolume", "snapshot", "-r", src, snap)
		args := []string{"send", "-q"}
		if parent != "" {
			args = append(args, "-p", filepath.Join(dir, "web@"+parent))
		}
		raw, err := exec.Command("btrfs", append(args, snap)...).Output()
		if err != nil {
			t.Fatalf("btrfs send: %v", err)
		}
		from := ""
		if i > 0 {
			from = []string{"", "web:1@amd64", "web:2@amd64"}[i]
		}
		f.publish([]string{"web:1@amd64", "web:2@amd64", "web:3@amd64"}[i], way{from, raw})
		parent = text
	}
	receive := func(into string, stream []byte) {
		t.Helper()
		cmd := exec.Command("btrfs", "receive", "-q", into)
		cmd.Stdin = bytes.NewReader(stream)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("btrfs receive: %v\n%s", err, out)
		}
	}
	for name, froms := range map[string][]string{"chain": {""}, "then the rest": {"web:1", "web:3<web:1"}} {
		into := filepath.Join(btrfsDir(t), strings.ReplaceAll(name, " ", "-"))
		if err := os.Mkdir(into, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, step := range froms {
			var out bytes.Buffer
			to, from, ok := strings.Cut(step, "<")
			if to == "" {
				to = "web:3"
			}
			var fromRef *ref.Ref
			if ok {
				r := imagetest.Ref(t, from)
				fromRef = &r
			}
			if err := f.s.Stream(t.Context(), imagetest.Ref(t, to), fromRef, true, &out); err != nil {
				t.Fatal(err)
			}
			receive(into, out.Bytes())
		}
		if out, err := exec.Command("diff", "-r", filepath.Join(dir, "web@three"),
			filepath.Join(into, "web@three")).CombinedOutput(); err != nil {
			t.Errorf("%s: the received tree differs: %s", name, out)
		}
	}
}
