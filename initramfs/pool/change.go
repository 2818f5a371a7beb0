package pool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/subvolume"

	"golang.org/x/sys/unix"
)

// ErrRefused is wrapped by errors about what must not be deleted or booted.
var ErrRefused = errors.New("refused")

// ErrUnknown is wrapped by errors about roots and images that the pool does not have.
var ErrUnknown = errors.New("the pool does not have it")

// Root is the root with a name, or with a label.
func (c Contents) Root(name string) (Root, error) {
	for _, r := range c.Roots {
		if r.Name == name || Label(r.Name) == name {
			return r, nil
		}
	}
	return Root{}, fmt.Errorf("root %s: %w", Label(name), ErrUnknown)
}

// Image is the image with a name, or with a label.
func (c Contents) Image(name string) (Image, error) {
	for _, i := range c.Images {
		if i.Name == name || Label(i.Name) == name {
			return i, nil
		}
	}
	return Image{}, fmt.Errorf("image %s: %w", Label(name), ErrUnknown)
}

// MayDelete is nil if the root may be deleted. Errors wrap ErrRefused.
func (c Contents) MayDelete(r Root) error {
	refuse := func(why string) error {
		return fmt.Errorf("deleting the root %s: %w: %s", Label(r.Name), ErrRefused, why)
	}
	switch {
	case r.Own:
		return refuse("it is a partition of its own; the next update fills the one that does not run")
	case r.Runs && r.Reset != "":
		return refuse("it is the base of the system that runs; boot another root first, and restart")
	case r.Runs:
		return refuse("it is the system that runs; boot another root first, and restart")
	case r.InUse:
		return refuse("it is mounted; unmount it first")
	case c.NoBoots != nil:
		return refuse("which root boots is not known: " + c.NoBoots.Error())
	case r.Boots && r.Name == c.Candidate:
		return refuse("it is the root that is tried at the next start; let another root boot first")
	case r.Boots:
		return refuse("it is the root that boots; let another root boot first")
	case r.Name == c.Good:
		return refuse("it is the good root, which boots if another one fails")
	case len(c.Roots) < 2:
		return refuse("it is the last root of the pool")
	}
	return nil
}

// MayDeleteImage is nil if the image may be deleted. Errors wrap ErrRefused.
func (c Contents) MayDeleteImage(i Image) error {
	if i.InUse {
		return fmt.Errorf("deleting the image %s: %w: it is mounted; unmount it first", Label(i.Name), ErrRefused)
	}
	return nil
}

// State is what people need to know of a root, in a few words.
func (r Root) State() string {
	var out []string
	for _, s := range []struct {
		is   bool
		word string
	}{{r.Runs, "runs"}, {r.InUse && !r.Runs, "mounted"}, {r.Boots, "boots"}, {r.Good, "good"}, {r.failed, "failed"},
		{!r.Kernel, "no kernel"}, {r.Reset == job.ResetSystem, "reset at each start"},
		{r.Reset == job.ResetHome, "reset at each start with /home"}} {
		if s.is {
			out = append(out, s.word)
		}
	}
	return strings.Join(out, ", ")
}

// Lost says what is lost with a root, a line each.
func (r Root) Lost() []string {
	out := []string{"the system " + Label(r.Name) + made(r.Created) +
		": programs, configuration, and all data but /home and /persistent"}
	for _, i := range r.Inner {
		out = append(out, "  with the subvolume /"+Label(i))
	}
	if r.Image == "" {
		out = append(out, "Its image is not in the pool: it cannot be made again from there.")
	}
	return append(out, "What is in /home and /persistent stays: all roots share it.")
}

// Lost says what is lost with an image, a line each.
func (i Image) Lost() []string {
	out := []string{"the image " + Label(i.Name) + made(i.Created)}
	for _, r := range i.Roots {
		out = append(out, "The root "+Label(r)+" stays. Its next update has to fetch a whole image, and not a delta.")
	}
	return out
}

// DeleteRoot deletes a root, as MayDelete allows.
func (p *Pool) DeleteRoot(name string) error {
	return p.change(func(c Contents) error {
		r, err := c.Root(name)
		if err == nil {
			err = c.MayDelete(r)
		}
		if err != nil {
			return err
		}
		names := []string{r.Name}
		for _, f := range c.Fresh {
			if f.Base == r.Name {
				names = append(names, f.Name())
			}
		}
		return p.deleteRoots(names)
	})
}

// deleteRoots deletes subvolumes in the folder of roots, the last one first. What GRUB reads of them goes before: it
// does not start a root that is gone.
func (p *Pool) deleteRoots(names []string) error {
	if err := p.removeCopies(names...); err != nil {
		return err
	}
	for _, name := range slices.Backward(names) {
		if err := subvolume.Delete(filepath.Join(p.dir, roots), name); err != nil {
			return err
		}
	}
	return nil
}

// DeleteImage deletes an image, as MayDeleteImage allows.
func (p *Pool) DeleteImage(name string) error {
	return p.change(func(c Contents) error {
		i, err := c.Image(name)
		if err == nil {
			err = c.MayDeleteImage(i)
		}
		if err != nil {
			return err
		}
		return subvolume.Delete(filepath.Join(p.dir, images), i.Name)
	})
}

// change calls do with what the pool has while no one else changes it.
func (p *Pool) change(do func(Contents) error) error {
	lock, err := os.Open(filepath.Join(p.dir, roots))
	if err != nil {
		return fmt.Errorf("locking the pool: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking the pool: %w", err)
	}
	c, err := p.Read()
	if err != nil {
		return err
	}
	return do(c)
}
