package carry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"griddle/appliance/setting"
	"griddle/initramfs/pool/carry/tree"
	"griddle/initramfs/sysroot"
)

// KeepDir has the lists of an image and of its site: files whose names end in .list.
const KeepDir = "etc/griddle/keep.d"

// ParseList reads a list: an absolute path in each line, with all that is below it; empty lines and those that begin
// with # mean nothing. It returns the paths, and what is wrong with other lines.
func ParseList(b []byte) (paths []string, mistakes []error) {
	n := 0
	for line := range bytes.Lines(b) {
		n++
		p := strings.TrimSpace(string(line))
		if p == "" || strings.HasPrefix(p, "#") {
			continue
		}
		if strings.HasSuffix(p, "/") && p != "/" { // as people write folders
			p = strings.TrimRight(p, "/")
		}
		if err := setting.KeepPath(p); err != nil {
			mistakes = append(mistakes, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		paths = append(paths, p)
	}
	return paths, mistakes
}

// lists carries what lists keep: the settings', and those of both roots.
func (c *carrier) lists(list []string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, p := range list {
			if err := setting.KeepPath(p); err != nil {
				return fmt.Errorf("%s: %w", tree.Name(p), err)
			}
			if err := c.missing(p); err != nil {
				return err
			}
		}
		for _, d := range []sysroot.Dir{c.old, c.to} {
			more, err := c.read(d)
			if err != nil {
				return err
			}
			list = append(list, more...)
		}
		return c.listed(ctx, list)
	}
}

// listed carries paths with all that is below them, and deletes what Old has deleted there.
func (c *carrier) listed(ctx context.Context, list []string) error {
	o := c.options
	o.Delete, o.Skip = true, func(at string) bool { return others(at) || c.without(at) }
	for _, p := range highest(list) {
		if others(strings.TrimPrefix(p, "/")) {
			c.left("%s: it is not for lists, a new root has it of its own", tree.Name(p))
			continue
		}
		if err := c.walk(ctx, c.roots(), p, o); err != nil {
			return err
		}
	}
	return nil
}

// missing says which path of the settings leads to nothing: it may be a mistake.
func (c *carrier) missing(p string) error {
	for _, d := range []sysroot.Dir{c.old, {Root: c.Image}} {
		if d.Root == nil {
			continue
		}
		if _, err := d.Lstat(strings.TrimPrefix(p, "/")); err == nil {
			return nil
		}
	}
	c.left("%s: the old system does not have it", tree.Name(p))
	return nil
}

// read reads the lists of a root.
func (c *carrier) read(d sysroot.Dir) ([]string, error) {
	if st, err := d.Lstat(KeepDir); errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
		return nil, nil
	}
	files, err := matching(d, KeepDir, "*.list")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range files {
		b, err := d.Read(name)
		if err != nil {
			return nil, err
		}
		paths, mistakes := ParseList(b)
		for _, m := range mistakes {
			text := fmt.Sprintf("%s: %v", tree.Name("/"+name), m)
			if !slices.Contains(c.report.Left, text) { // the other root may have the same list
				c.left("%s", text)
			}
		}
		out = append(out, paths...)
	}
	return out, nil
}

// highest are paths without those that are below others, sorted.
func highest(list []string) []string {
	all := slices.Clone(list)
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(a+"/", b+"/") })
	var out []string
	for _, p := range all {
		if n := len(out); n > 0 && strings.HasPrefix(p+"/", out[n-1]+"/") {
			continue
		}
		out = append(out, p)
	}
	return out
}

// own are files and folders of a root that no list keeps: Carry carries them itself, or each root has its own.
var own = []string{
	"etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/subuid", "etc/subgid", "etc/passwd-", "etc/shadow-",
	"etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-", "etc/.pwd.lock",
	"etc/machine-id", "etc/hostname", "etc/hosts", "etc/fstab", "etc/mtab",
	"var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "var/lib/cloud",
	"etc/griddle/phone-home.json", "usr/lib/griddle", ".griddle-good",
	"var/lib/dpkg", "var/lib/rpm", "usr/lib/sysimage", "var/lib/pacman", "lib/apk", "usr/lib/apk",
	"home", "persistent", "boot", "efi", "usr/lib/modules", "lib/modules",
}

// nightly is the link that enables the timer of package resident, whose list keeps it: a person may have made it.
const nightly = "etc/systemd/system/timers.target.wants/griddle-update.timer"

// others reports whether no list keeps a path. Units and files of other programs that Griddle writes into each root
// have its name.
func others(p string) bool {
	if p == nightly {
		return false
	}
	return slices.ContainsFunc(own, func(o string) bool { return p == o || strings.HasPrefix(p, o+"/") }) ||
		strings.HasPrefix(p, "etc/") && !strings.HasPrefix(p, "etc/griddle/") && p != "etc/griddle" &&
			strings.Contains(path.Base(p), "griddle")
}
