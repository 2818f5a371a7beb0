package definition

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/cloud/diskimage"
)

// shop is a target that keeps names, and can fail.
type shop struct {
	has   map[string]string // name -> digest
	calls int
	fail  func(call int) error // before it does anything
	lost  bool                 // it does its work, and the answer is lost
}

func (s *shop) Register(_ context.Context, name string, d diskimage.Disk) (string, error) {
	s.calls++
	if s.fail != nil {
		if err := s.fail(s.calls); err != nil {
			return "", err
		}
	}
	if s.has[name] == "" {
		s.has[name] = d.Digest
	}
	if s.lost {
		return "", errors.New("the answer is lost")
	}
	return "id-" + name, nil
}

func (s *shop) Remove(_ context.Context, name string) error {
	delete(s.has, name)
	return nil
}

const twoTrees = "name: web\nimage: web:stable\noutputs:\n  a: {format: tree, register: shop}\n  b: {format: tree, " +
	"files: {/etc/b: {content: b}}}\n"

// world is a builder over a catalog of one image, whose content can be changed.
type world struct {
	*Builder
	shop    *shop
	content string
	reads   int
}

func newWorld(t *testing.T) *world {
	w := &world{shop: &shop{has: map[string]string{}}, content: "one"}
	w.Builder = &Builder{
		Dir: filepath.Join(t.TempDir(), "builds"), Cache: &diskimage.Cache{Dir: t.TempDir()},
		Targets: map[string]Target{"shop": w.shop},
		Image: func(_ context.Context, ref, arch string) (diskimage.Image, error) {
			if w.content == "" {
				return diskimage.Image{}, fmt.Errorf("no such image: %s", ref)
			}
			content := w.content
			return diskimage.Image{Ref: ref, Arch: arch, Digest: fmt.Sprintf("sha256:%x",
				sha256.Sum256([]byte(content))), Tar: func(_ context.Context, out io.Writer, _ diskimage.Bytes) error {
				w.reads++
				var b bytes.Buffer
				a := tar.NewWriter(&b)
				err := a.WriteHeader(&tar.Header{Name: "x", Size: int64(len(content)), Mode: 0o644})
				if err == nil {
					_, err = io.WriteString(a, content)
				}
				if err = errors.Join(err, a.Close()); err == nil {
					_, err = out.Write(b.Bytes())
				}
				return err
			}}, nil
		},
	}
	return w
}

// short shows steps as KIND OUTPUT STATE, with * for those that were skipped.
func short(steps []Step) string {
	var out []string
	for _, s := range steps {
		mark := ""
		if s.Skipped {
			mark = "*"
		}
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s%s", s.Kind, s.Output, s.State, mark)), " "))
	}
	return strings.Join(out, ", ")
}

func TestBuild(t *testing.T) {
	w := newWorld(t)
	d, err := Load(tree("d", twoTrees), "d")
	if err != nil {
		t.Fatal(err)
	}
	build := func(want string, fails bool) []Step {
		t.Helper()
		steps, err := w.Build(t.Context(), d)
		if got := short(steps); got != want || (err != nil) != fails {
			t.Errorf("Build = %s, %v, want %s", got, err, want)
		}
		return steps
	}
	w.shop.fail = func(int) error { return errors.New("quota") }
	steps := build("image done, disk a done, register a failed, disk b done", true)
	if s := steps[2]; !strings.Contains(s.Error, "quota") || s.ID == "" || s.Name == "" {
		t.Errorf("the step that failed is %+v", s)
	}
	w.shop.fail, w.shop.lost = nil, true
	build("image done, disk a done*, register a failed, disk b done*", true)
	w.shop.lost = false
	build("image done, disk a done*, register a done, disk b done*", false)
	build("image done, disk a done*, register a done*, disk b done*", false)
	if w.reads != 2 || len(w.shop.has) != 1 {
		t.Errorf("the image was read %d times, want 2; the shop has %v, want one", w.reads, w.shop.has)
	}

	w.content = "two" // the channel names another version
	build("image done, disk a done, register a done, disk b done", false)
	if len(w.shop.has) != 2 {
		t.Errorf("the shop has %v, want both versions", w.shop.has)
	}
	disks, err := w.Cache.List()
	if err != nil || len(disks) != 4 {
		t.Fatalf("the cache has %+v, %v", disks, err)
	}
	// What is gone from the cache is made again, the same: nothing is registered anew.
	if _, err := w.Cache.Collect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	build("image done, disk a done, register a done*, disk b done", false)

	w.content = ""
	build("image failed", true)
	names, err := w.Names()
	if err != nil || !slices.Equal(names, []string{"web"}) {
		t.Errorf("Names = %v, %v", names, err)
	}
	gone, err := w.RemoveFailed(t.Context(), "web")
	if err != nil || short(gone) != "image failed" {
		t.Errorf("RemoveFailed = %s, %v", short(gone), err)
	}
	all, err := w.Artefacts(t.Context(), "web")
	if err != nil ||
		short(all) != "disk a done, register a done, disk b done, disk a done, register a done, disk b done" {
		t.Errorf("Artefacts = %s, %v", short(all), err)
	}
	if st, err := os.Stat(filepath.Join(w.Dir, "web.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the journal has mode %v, %v", st.Mode(), err)
	}
}

// TestKilled has a run end within each step, as by a kill, and the next one go on.
func TestKilled(t *testing.T) {
	d, err := Load(tree("d", twoTrees), "d")
	if err != nil {
		t.Fatal(err)
	}
	for stop := range 8 {
		w := newWorld(t)
		told := 0
		w.Progress = func(Step) {
			if told++; told == stop+1 {
				panic("killed")
			}
		}
		func() {
			defer func() { recover() }() // the lock goes, as it does with the process
			w.Build(t.Context(), d)
		}()
		w.Progress = nil
		steps, err := w.Build(t.Context(), d)
		if err != nil || len(steps) != 4 || slices.ContainsFunc(steps, func(s Step) bool { return s.State != Done }) {
			t.Errorf("after a kill at %d: %s, %v", stop, short(steps), err)
		}
		if len(w.shop.has) != 1 || w.reads > 3 {
			t.Errorf("after a kill at %d the shop has %v, the image was read %d times", stop, w.shop.has, w.reads)
		}
	}
}

// TestRemoveKilled has a registration that was killed taken away.
func TestRemoveKilled(t *testing.T) {
	d, err := Load(tree("d", twoTrees), "d")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.shop.lost = true
	w.shop.fail = func(int) error { return nil }
	if _, err := w.Build(t.Context(), d); err == nil {
		t.Fatal("Build without an answer of the shop is done")
	}
	if len(w.shop.has) != 1 {
		t.Fatalf("the shop has %v", w.shop.has)
	}
	if gone, err := w.RemoveFailed(t.Context(), "web"); err != nil || short(gone) != "register a failed" ||
		len(w.shop.has) != 0 {
		t.Errorf("RemoveFailed = %s, %v; the shop has %v", short(gone), err, w.shop.has)
	}
	delete(w.Targets, "shop")
	if _, err := w.Build(t.Context(), d); err == nil ||
		!strings.Contains(err.Error(), `output a: there is no target "shop"`) {
		t.Errorf("Build without its target = %v", err)
	}
	if _, err := w.Artefacts(t.Context(), "../x"); err == nil {
		t.Error("a name that leads out of the folder is taken")
	}
}

// TestFileName: what a person finds says what it is; a version that cannot be in a name is not.
func TestFileName(t *testing.T) {
	for ref, want := range map[string]string{
		"lab/web:20261120.1@amd64": "web-kvm-20261120.1-amd64.qcow2",
		"web:1~rc1+b@amd64":        "web-kvm-1~rc1+b-amd64.qcow2",
		"web:a/../../b@amd64":      "web-kvm-b-amd64.qcow2",
		"web:a b@amd64":            "web-kvm-0123456789ab-amd64.qcow2",
		"web":                      "web-kvm-0123456789ab-amd64.qcow2",
	} {
		got := fileName(&Definition{Name: "web", Arch: "amd64"},
			Output{Name: "kvm", Options: diskimage.Options{Format: diskimage.QCOW2}},
			diskimage.Image{Ref: ref, Digest: "sha256:0123456789abcdef"})
		if got != want {
			t.Errorf("fileName of %s = %s, want %s", ref, got, want)
		}
	}
}
