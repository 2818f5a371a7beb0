package intake

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/content"
	"griddle/imagestore/receive/readback"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// versions are three versions of a template.
func versions(t *testing.T) []*intaketest.Image {
	return intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/version": "1\n", "usr/lib/big": strings.Repeat("x", 1<<20)})
	}, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/version": "2\n"})
	}, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/version": "3\n"})
	})
}

// empty is the top of a pool without images.
func empty(t *testing.T) string {
	t.Helper()
	dev := pooltest.Loop(t, 256<<20)
	pooltest.Tool(t, "mkfs.btrfs", "-q", dev)
	m, err := subvolume.Top(dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m.Dir()
}

// images are the names in @images.
func images(t *testing.T, top string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(top, Folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// take receives img and compares it with its manifest.
func take(t *testing.T, top string, img *intaketest.Image, streams int) string {
	t.Helper()
	in, err := Open(top, img)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(in.Streams()); n != streams {
		t.Errorf("%d streams of %s are to be received, want %d", n, img.Ref(), streams)
	}
	var raw int64
	dir, err := in.Receive(t.Context(), Options{Progress: func(n int64) { raw = n }})
	if err != nil {
		t.Fatal(err)
	}
	if raw != in.Raw() {
		t.Errorf("%d bytes were received, want %d", raw, in.Raw())
	}
	if err := content.Verify(t.Context(), dir, img.Manifest, nil); err != nil {
		t.Error(err)
	}
	return dir
}

// A pool takes what it lacks, and finds what a delta starts from by its UUID.
func TestReceive(t *testing.T) {
	all, top := versions(t), empty(t)
	one, two, three := all[0], all[1], all[2]
	if _, err := Open(top, two.From(1)); !errors.Is(err, ErrNoParent) || !strings.Contains(err.Error(), one.Ref()) {
		t.Errorf("Open of a delta in an empty pool = %v, want ErrNoParent with the image's name", err)
	}
	take(t, top, two, 2)
	if got := images(t, top); !slices.Equal(got, []string{"web-20261120.2@amd64"}) {
		t.Errorf("the pool has %v, want the second version alone", got)
	}
	// The name does not count.
	if err := os.Rename(filepath.Join(top, Folder, "web-20261120.2@amd64"), filepath.Join(top, Folder,
		"web-20261120.3@amd64")); err != nil {
		t.Fatal(err)
	}
	for _, img := range []*intaketest.Image{three.From(2), three, three.From(1)} {
		streams := map[bool]int{true: 1}[!slices.Contains(images(t, top), "web-20261120.3@amd64.2")]
		if dir := take(t, top, img, streams); filepath.Base(dir) != "web-20261120.3@amd64.2" {
			t.Errorf("the image is in %s", dir)
		}
	}
	have, err := Have(top)
	slices.Sort(have)
	want := []string{two.Infos[1].UUID.String(), three.Infos[2].UUID.String()}
	slices.Sort(want)
	if err != nil || !slices.Equal(have, want) {
		t.Errorf("Have = %v, %v, want %v", have, err, want)
	}
}

// late is a reader of which a part comes so late that files are read back meanwhile.
type late struct {
	r    io.Reader
	left int64 // bytes before that part
}

func (l *late) Read(b []byte) (int, error) {
	if l.left == 0 {
		time.Sleep(3 * readback.Usual().Rest)
		l.left = -1
	}
	if l.left > 0 {
		b = b[:min(int64(len(b)), l.left)]
	}
	n, err := l.r.Read(b)
	if l.left > 0 {
		l.left -= int64(n)
	}
	return n, err
}

// Files that are read back while streams come are not read again, and what changed of them since is found.
func TestReadBack(t *testing.T) {
	const files = 8
	name := func(version, i int) string { return fmt.Sprintf("usr/lib/%d/%d", version, i) }
	random := func(version, n int) map[string]string {
		all := map[string]string{}
		for i := range n {
			b := make([]byte, 1<<20)
			rand.Read(b)
			all[name(version, i)] = string(b)
		}
		return all
	}
	img := intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, random(1, files))
	}, func(dir string) {
		intaketest.Put(t, dir, random(2, files))
		intaketest.Put(t, dir, map[string]string{name(1, 0): "now short"})
	})[1]
	img.Between = func(_ int, r io.Reader) io.Reader { return &late{r, 5 << 20} }
	top := empty(t)
	in, err := Open(top, img)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := in.Receive(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if in.ReadBack() < 4<<20 {
		t.Errorf("%d bytes were read back, want some of both streams", in.ReadBack())
	}
	var progress int64
	err = in.Verify(t.Context(), img.Manifest, func(n int64) { progress = n })
	if err != nil || progress != img.Size() {
		t.Errorf("Verify = %v after %d bytes, want nil after %d", err, progress, img.Size())
	}
	if err := subvolume.Snapshot(dir, top, "damaged"); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(top, "damaged")
	for version := 1; version <= 2; version++ {
		for i := range files {
			f, err := os.OpenFile(filepath.Join(dir, name(version, i)), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt([]byte("!"), 5)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = content.VerifyRest(t.Context(), dir, img.Manifest, in.read, nil)
	if want := content.Verify(t.Context(), dir, img.Manifest, nil); err == nil || err.Error() != want.Error() ||
		!strings.Contains(err.Error(), name(1, files-1)+" has other content") {
		t.Errorf("damaged files give %v\nwant %v", err, want)
	}
}

// A stream that ends early leaves the images that are whole, and another Receive continues with them.
func TestStopped(t *testing.T) {
	all, top := versions(t), empty(t)
	cut := *all[2]
	cut.Between = func(i int, r io.Reader) io.Reader {
		if i == 1 {
			return io.LimitReader(r, 200)
		}
		return r
	}
	in, err := Open(top, &cut)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Receive(t.Context(), Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Receive of a stream that ends early = %v", err)
	}
	if got := images(t, top); !slices.Equal(got, []string{"web-20261120.1@amd64"}) {
		t.Errorf("it left %v, want the first version", got)
	}
	take(t, top, all[2], 2)
}

// What is not an image of the pool is not taken for one.
func TestStrangers(t *testing.T) {
	all, top := versions(t), empty(t)
	dir := take(t, top, all[0], 1)
	// A writable snapshot may have changed, and has no received UUID; folders and files are no images.
	if err := subvolume.Snapshot(dir, filepath.Join(top, Folder), "copy"); err != nil {
		t.Fatal(err)
	}
	intaketest.Put(t, filepath.Join(top, Folder), map[string]string{"folder/x": "", "file": "", "link": "-> folder"})
	if have, err := Have(top); err != nil || len(have) != 1 {
		t.Errorf("Have = %v, %v, want one image", have, err)
	}
	// A receive that was killed before it gave the image its name.
	if err := os.Rename(dir, filepath.Join(top, Folder, ".griddle-incoming-x")); err != nil {
		t.Fatal(err)
	}
	if have, err := Have(top); err != nil || len(have) != 0 {
		t.Errorf("Have = %v, %v, want none", have, err)
	}
	if _, err := Open(top, all[1].From(1)); !errors.Is(err, ErrNoParent) {
		t.Errorf("Open without the image = %v, want ErrNoParent", err)
	}
}
