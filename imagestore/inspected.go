package imagestore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"griddle/imagestore/content"
	"griddle/imagestore/document"
)

// Errors of Publish on which callers branch.
var (
	// ErrEmpty is wrapped where the tree that is to be published has nothing in it.
	ErrEmpty = errors.New("the tree is empty")
	// ErrArch is wrapped where the architecture is not a known one, or not that of the tree's programs.
	ErrArch = errors.New("wrong architecture")
)

// Architectures lists those that an image can be published for, as Debian spells them.
func Architectures() []string {
	return []string{"amd64", "arm64", "armel", "armhf", "i386", "loong64", "mips64el", "mipsel", "ppc64el", "riscv64", "s390x"}
}

// CheckArch returns ErrArch for an architecture that is not known. "" means a default.
func CheckArch(arch string) error {
	if arch == "" || slices.Contains(Architectures(), arch) {
		return nil
	}
	return fmt.Errorf("%w: %q is not known; known are %s", ErrArch, arch, strings.Join(Architectures(), ", "))
}

// Inspected is what PublishOptions.Inspect says of a copy.
type Inspected struct {
	Empty    bool
	Foreign  string // which program is for which other machines; "" where the tree fits the architecture
	Accounts []document.Account
}

// inspect looks at the copy before anything is sent.
func (o PublishOptions) inspect(ctx context.Context, dir string) (Inspected, error) {
	if o.Inspect == nil {
		return Inspected{}, nil
	}
	in, err := o.Inspect(ctx, dir, o.Ref.Arch)
	switch {
	case err != nil:
		return Inspected{}, err
	case in.Empty && !o.AllowEmpty:
		return Inspected{}, fmt.Errorf("%w: %s has nothing in it", ErrEmpty, o.Source.Name)
	case in.Foreign != "":
		return Inspected{}, fmt.Errorf("%w: the image would be for %s, and %s", ErrArch, o.Ref.Arch, in.Foreign)
	}
	return in, nil
}

// hasKernel says whether a machine that gets the tree finds a kernel to boot: /vmlinuz or a regular file /boot/vmlinuz-*.
func hasKernel(m *content.Manifest) bool {
	return slices.ContainsFunc(m.Entries, func(e content.Entry) bool {
		return e.Path == "vmlinuz" || strings.HasPrefix(e.Path, "boot/vmlinuz-") && e.Type == content.Regular
	})
}
