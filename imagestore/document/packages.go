package document

import (
	"errors"
	"fmt"

	"griddle/imagestore/packages"
)

// Packages names the package list of an image (package packages), as Content names its manifest.
type Packages struct {
	Manager string `json:"manager"`
	Count   int64  `json:"count"`
	Content        // digest, size and blob of the list's text
}

func (p *Packages) validate() error {
	switch {
	case p == nil:
		return nil
	case p.Manager == "" || len(p.Manager) > maxPreparedName:
		return errors.New("the package list names no package manager")
	case p.Digest == "" || p.Blob == "":
		return errors.New("the package list has no digest")
	case p.Size <= 0 || p.Size > packages.MaxSize || p.Count <= 0 || p.Count > packages.MaxPackages:
		return fmt.Errorf("a package list of %d packages in %d bytes is not possible", p.Count, p.Size)
	}
	return nil
}

func (p *Packages) Equal(o *Packages) bool { return p == o || p != nil && o != nil && *p == *o }
