//go:build e2e

package full

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
)

// pictures is where TestPictures leaves what it makes.
var pictures = flag.String("pictures", "", "folder for the pictures of the screen; empty keeps none")

// maxPicture bounds a picture of the documents, in bytes.
const maxPicture = 60_000

// album makes pictures of what a machine shows: of its monitor, and of the terminal at its serial line.
type album struct {
	dir string
	m   *e2e.Machine
}

// page waits for a page, and keeps both pictures of it when it does not change any more. Then it presses keys.
func (a album) page(ctx context.Context, t *testing.T, name, pattern, keys string) {
	t.Helper()
	if _, err := a.m.Console().WaitScreen(ctx, pattern); err != nil {
		t.Fatal(err)
	}
	before := []byte{}
	for {
		a.take(ctx, t, name)
		now, err := os.ReadFile(a.file(name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(before, now) {
			break
		}
		before = now
		select {
		case <-ctx.Done():
			t.Fatalf("page %s does not stop to change", name)
		case <-time.After(2 * time.Second):
		}
	}
	e2etest.Press(t, a.m, keys)
}

func (a album) file(name string) string { return filepath.Join(a.dir, name+".png") }

// take makes both pictures now.
func (a album) take(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	if err := a.m.Picture(ctx, a.file(name)); err != nil {
		t.Fatal(err)
	}
	if err := a.m.Console().Picture(a.file(name + "-80x24")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{a.file(name), a.file(name + "-80x24")} {
		check(t, file)
	}
}

// check holds a picture to its limits.
func check(t *testing.T, file string) {
	t.Helper()
	if info, err := os.Stat(file); err != nil || info.Size() > maxPicture {
		t.Errorf("%s: %v, want at most %d bytes", file, err, maxPicture)
	}
	// A page of text lights some percent of a screen; a blank one with a cursor does not.
	if lit, err := litPixels(file); err != nil || lit < 0.01 {
		t.Errorf("%.2f %% of %s is lit, %v: the screen shows nothing", 100*lit, file, err)
	}
}

// TestPictures installs beside a Windows by keys, and keeps pictures of the pages for docs/INSTALL.md: those of the
// monitor, 1280x800 pixels as UEFI firmware has them, and those of the serial line.
func TestPictures(t *testing.T) {
	e2etest.Passes(t)
	s := open(t, e2e.Proxy)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	windows, err := s.room.MakeDisk("pictures", 6<<30)
	if err != nil {
		t.Fatal(err)
	}
	windowsOn(t, e2e.UEFI, windows)
	blank, err := s.room.MakeDisk("pictures-blank", 20<<30)
	if err != nil {
		t.Fatal(err)
	}
	disks := []e2e.Disk{{File: windows, Serial: "S5GXNX0R"}, {File: blank, Serial: "WD-WCC6Y0"}}
	m, err := s.room.Machine(ctx, e2e.Hardware{Name: "pictures", Firmware: e2e.UEFI, Disks: disks})
	if err != nil {
		t.Fatal(err)
	}
	dir := *pictures
	if dir == "" {
		dir = t.TempDir()
	}
	a := album{dir, m}
	on(ctx, t, m)
	defer m.PowerCut()
	const welcome = `> i  Install an image`
	a.page(ctx, t, "welcome", welcome, "?")
	a.page(ctx, t, "help", `Esc back to the page`, e2e.KeyEscape)
	a.trouble(ctx, t, welcome)
	e2etest.Press(t, m, "i")
	a.page(ctx, t, "image", `1 of 4: image`, e2e.KeyEnter)
	a.page(ctx, t, "disk", `(?s)2 of 4: disk.*> /dev/vda`, e2e.KeyEnter)
	// The last but one loses all: this page asks for a name. Then back to the one that loses nothing.
	a.page(ctx, t, "ways", `> Beside another system`, keyEnd+e2e.KeyUp)
	if _, err := m.Console().WaitScreen(ctx, `> Whole disk`); err != nil {
		t.Fatal(err)
	}
	e2etest.Press(t, m, e2e.KeyEnter)
	if _, err := m.Console().WaitScreen(ctx, `4 of 4: the plan`); err != nil {
		t.Fatal(err)
	}
	e2etest.Press(t, m, "vd")
	a.page(ctx, t, "plan-whole", `> vd_`, e2e.KeyEscape)
	if _, err := m.Console().WaitScreen(ctx, `> Whole disk`); err != nil {
		t.Fatal(err)
	}
	e2etest.Press(t, m, e2e.KeyUp+e2e.KeyUp+e2e.KeyEnter)
	a.page(ctx, t, "amounts", `How much space does the new system get`, keyEnd+e2e.KeyEnter)
	a.page(ctx, t, "plan", `4 of 4: the plan`, "i")
	if _, err := m.Console().WaitScreen(ctx, receiving...); err != nil {
		t.Fatal(err)
	}
	a.take(ctx, t, "progress")
	a.page(ctx, t, "result", `(?m)^ Installed:`, "")
	m.PowerCut()

	// Another computer with these disks: the server does not start it from them.
	again, err := s.room.Machine(ctx, e2e.Hardware{Name: "pictures-again", Firmware: e2e.UEFI, Disks: disks})
	if err != nil {
		t.Fatal(err)
	}
	a.m = again
	on(ctx, t, again)
	defer again.PowerCut()
	if _, err := again.Console().WaitScreen(ctx, welcome, `m  Maintenance`); err != nil {
		t.Fatal(err)
	}
	e2etest.Press(t, again, "m")
	a.page(ctx, t, "maintenance", `Griddle .*Maintenance`, e2e.KeyEscape)
	if _, err := again.Console().WaitScreen(ctx, `v  Recovery`); err != nil {
		t.Fatal(err)
	}
	e2etest.Press(t, again, "v")
	a.page(ctx, t, "recovery", `Griddle .*Recovery`, "")
}

// trouble pulls the cable out, has the agent ask the server, and puts the cable in again.
func (a album) trouble(ctx context.Context, t *testing.T, welcome string) {
	t.Helper()
	if _, err := a.m.Console().WaitScreen(ctx, welcome); err != nil {
		t.Fatal(err)
	}
	if err := a.m.SetLink(ctx, false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.m.Console().WaitScreen(ctx, `has no link`); err != nil {
		t.Fatal(err)
	}
	e2etest.Press(t, a.m, "a")
	a.page(ctx, t, "start", `\[FAIL\] Server`, "")
	if err := a.m.SetLink(ctx, true); err != nil {
		t.Fatal(err)
	}
	if _, err := a.m.Console().WaitScreen(ctx, welcome, `Network +eth0 +\S+ +10\.77\.0\.\d+/24\n`); err != nil {
		t.Fatal(err)
	}
}

// keyEnd is End as a terminal sends it.
const keyEnd = "\x1b[F"

// litPixels is the part of a picture that is not black, 0 to 1.
func litPixels(file string) (float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", file, err)
	}
	lit, b := 0, img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if r, g, b, _ := img.At(x, y).RGBA(); r+g+b > 0 {
				lit++
			}
		}
	}
	return float64(lit) / float64(b.Dx()*b.Dy()), nil
}
