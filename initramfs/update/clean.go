package update

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"griddle/imagestore/receive"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/pool/reset"
)

// earlier is how many roots that proved themselves once are kept beside those that the machine needs.
const earlier = 2

// kernelImages is how the names of kernel images begin.
var kernelImages = intake.Name("griddle/kernel") + "-"

// Waste is what a pool has no need for: roots and images, by name. It is empty where it is not known what boots.
//
// The roots that stay are those that run, boot, are mounted or are tried next, the one that proved itself last, and the
// newest two others that once did. The images that stay are those of the roots that run, boot, are tried or proved
// themselves last, and the newest kernel image: the next update starts from them.
func Waste(c pool.Contents) (roots, images []string) {
	if c.NoBoots != nil {
		return nil, nil
	}
	left := earlier
	parents := map[string]bool{}
	for _, r := range c.Roots { // the newest first
		needed := r.Own || r.Runs || r.Boots || r.Name == c.Good || r.Name == c.Candidate
		switch {
		case needed:
			parents[r.Image] = true
		case r.InUse:
		case r.Good && left > 0:
			left--
		default:
			roots = append(roots, r.Name)
		}
	}
	kernels := 0
	for _, i := range c.Images { // the newest first
		if strings.HasPrefix(i.Name, kernelImages) {
			if kernels++; kernels == 1 {
				continue
			}
		}
		if !parents[i.Name] && !i.InUse {
			images = append(images, i.Name)
		}
	}
	return roots, images
}

// Clean deletes Waste, and what updates left that were stopped. Images of which waiting has the reference stay: an
// update waits for them. It returns what it deleted, in words. While an update runs the error is ErrBusy.
func Clean(p *pool.Pool, waiting ...string) ([]string, error) {
	lock, err := lock(p)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	return clean(p, func(name string) bool {
		return slices.ContainsFunc(waiting, func(ref string) bool { return intake.Named(name, ref) })
	})
}

// clean is Clean. The images whose names spare takes stay.
func clean(p *pool.Pool, spare func(name string) bool) (gone []string, errs error) {
	c, err := p.Read()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(c.Roots, func(r pool.Root) bool { return r.Own }) {
		return nil, nil // each of them is a partition
	}
	roots, images := Waste(c)
	images = slices.DeleteFunc(images, spare)
	var spared []string
	if c.Candidate != "" && c.Tries > 0 {
		spared = append(spared, oldName) // Refresh needs it
	}
	errs = errors.Join(removeLeftovers(p.Dir(), spared...),
		receive.RemoveLeftovers(filepath.Join(p.Dir(), intake.Folder)))
	for _, name := range roots {
		err := p.DeleteRoot(name)
		if err == nil {
			gone = append(gone, "the root "+pool.Label(name))
			err = note(p, history.Event{Kind: history.Deleted, Root: name, Reason: "it is not needed any more"})
		}
		errs = errors.Join(errs, err)
	}
	for _, name := range images {
		err := p.DeleteImage(name)
		if err == nil {
			gone = append(gone, "the image "+pool.Label(name))
		}
		errs = errors.Join(errs, err)
	}
	errs = errors.Join(errs, reset.Clean(p))
	if errs != nil {
		errs = fmt.Errorf("cleaning the pool: %w", errs)
	}
	return gone, errs
}
