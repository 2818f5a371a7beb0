// Package carry gives a new root what an earlier one has to hand over: the identity of the machine, its accounts, the
// domain that it joined, what people changed with `griddle-agent maintain`, and the paths that lists keep.
//
// Call Carry when the new root is made of its image, has its /etc/fstab, and has nothing of the settings yet. Settings
// are written after it, so that they win.
//
// # What it takes
//
// Three trees: the old root, the image that the old root was made of, and the new root. What the old root has as its
// image had it is not carried: there the new image has its say. What differs was changed on this machine, and goes to
// the new root. In this order:
//
//	accounts    users, groups, passwords, subordinate numbers: package accounts
//	identity    machine ID, hostname and its line in /etc/hosts, ssh host keys, other keys of the machine; always
//	changes     the joined domain, time zone, sudoers, root's authorized_keys, the configurator, the network, ssh and
//	            the firewall, shares
//	lists       paths of the settings, and of the files KeepDir/*.list of both roots; what is deleted there in Old is
//	            deleted in New
//
// The seed of random numbers is new. Files belong to the same names as in Old, also where these have other numbers in
// New. Of its own each root has the lists' exceptions: account files, fstab, kernels, databases of packages, and what
// Griddle writes.
//
// Old should be a snapshot that nothing writes to: then files that belong together, such as those of a database, fit
// one another. Host keys and other secret keys that New has of its image are removed; where Old has none, the caller
// makes some.
//
// # What it guarantees
//
// Nothing is written outside New, and nothing is read outside the three trees, whatever symlinks are in them. A Carry
// that is repeated gives the same tree. Nothing is synced: the caller syncs the filesystem once, when all is written.
// A user or a group of people whose number does not fit the new image is an error, before anything is written.
package carry

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"griddle/initramfs/pool/carry/accounts"
	"griddle/initramfs/pool/carry/tree"
	"griddle/initramfs/sysroot"
)

// Trees are the trees that Carry works on.
type Trees struct {
	Old   *os.Root // the root that ran until now
	Image *os.Root // the image that Old was made of; nil if it was deleted, then all that Old has was changed
	New   *os.Root // the new root, which does not run

	Without []string // paths of Old that are left alone, with all below them; without a slash before them
}

// Report says what happened, in sentences for people.
type Report struct {
	Carried []string // what New has of Old, in order
	Left    []string // what New does not have of Old, and why
}

// ErrConflict is wrapped by errors about a user or a group whose number the new image gives to another one.
var ErrConflict = accounts.ErrConflict

// carrier carries.
type carrier struct {
	Trees
	old, to sysroot.Dir
	options tree.Options // with the numbers of accounts that have become others
	report  Report
}

// Carry carries from t.Old to t.New. list has the paths that the settings keep, absolute, in addition to the lists of
// both roots. The report is right with an error too, and New is then not to be started.
func Carry(ctx context.Context, t Trees, list []string) (Report, error) {
	c := &carrier{Trees: t, old: sysroot.Dir{Root: t.Old}, to: sysroot.Dir{Root: t.New},
		options: tree.Options{Skip: t.without}}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"accounts", c.accounts}, // first: the others need its numbers
		{"the identity of the machine", c.identity},
		{"what was changed on the machine", c.changes},
		{"what lists keep", c.lists(list)},
	} {
		if err := step.do(ctx); err != nil {
			return c.report, fmt.Errorf("carrying %s: %w", step.what, err)
		}
		if err := ctx.Err(); err != nil {
			return c.report, err
		}
	}
	return c.report, nil
}

// without reports whether a path is left alone.
func (t Trees) without(at string) bool {
	return slices.ContainsFunc(t.Without, func(p string) bool { return at == p || strings.HasPrefix(at, p+"/") })
}

// path carries what was changed at a path, and below it.
func (c *carrier) path(ctx context.Context, at string) error {
	return c.walk(ctx, c.roots(), at, c.options)
}

func (t Trees) roots() tree.Roots { return tree.Roots{Old: t.Old, Image: t.Image, New: t.New} }

// whole carries what is at a path, whatever the image has there.
func (c *carrier) whole(ctx context.Context, at string) error {
	return c.walk(ctx, tree.Roots{Old: c.Old, New: c.New}, at, c.options)
}

func (c *carrier) walk(ctx context.Context, r tree.Roots, at string, o tree.Options) error {
	done, err := tree.Carry(ctx, r, at, o)
	name := tree.Name("/" + strings.TrimPrefix(at, "/"))
	switch {
	case done.Deleted > 0:
		c.carried("%s (%d changed, %d deleted)", name, done.Carried, done.Deleted)
	case done.Carried > 1:
		c.carried("%s (%d changed)", name, done.Carried)
	case done.Carried == 1:
		c.carried("%s", name)
	}
	c.report.Left = append(c.report.Left, done.Left...)
	return err
}

func (c *carrier) carried(format string, args ...any) {
	c.report.Carried = append(c.report.Carried, fmt.Sprintf(format, args...))
}

func (c *carrier) left(format string, args ...any) {
	c.report.Left = append(c.report.Left, fmt.Sprintf(format, args...))
}
