package pool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/bootloader/bootenv"
)

// The root of an earlier version has no marker. It gets one when the next root is blessed, and GRUB takes the newer
// one.
func TestOldRootCountsAsProved(t *testing.T) {
	p, dev := withInitrd(t)
	old(t, p)
	if err := p.Switch("two@amd64"); err != nil {
		t.Fatal(err)
	}
	started(t, p)
	if err := p.Bless("two@amd64"); err != nil {
		t.Fatal(err)
	}
	c, err := p.Read()
	if err != nil {
		t.Fatal(err)
	}
	one, _ := c.Root("one@amd64")
	two, _ := c.Root("two@amd64")
	if !one.Good || !two.Good || one.marked.Unix() >= two.marked.Unix() || c.provedLast() != two.Name {
		t.Errorf("the roots are %+v and %+v", one, two)
	}
	for _, name := range bootenv.Names { // without grubenv the markers count
		if err := os.Truncate(filepath.Join(p.esp, bootenv.Folder, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := agree(t, p, dev); got.Root != two.Name {
		t.Errorf("%s boots", got.Root)
	}
	// A marker that is there stays as it is.
	if err := errors.Join(p.Bless("two@amd64"), p.Bless("one@amd64")); err != nil {
		t.Fatal(err)
	}
	before, _ := p.Read()
	if err := p.Bless("two@amd64"); err != nil {
		t.Fatal(err)
	}
	after, _ := p.Read()
	was, _ := before.Root("one@amd64")
	if is, _ := after.Root("one@amd64"); !is.marked.Equal(was.marked) {
		t.Errorf("the marker of %s is of %v, and was of %v", is.Name, is.marked, was.marked)
	}
}
