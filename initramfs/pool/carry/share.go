package carry

import (
	"context"
	"slices"
	"strings"

	"griddle/initramfs/share"
	"griddle/initramfs/sysroot"
)

// shares carries the lines of /etc/fstab that `griddle-agent maintain share` wrote, their folders and passwords.
func (c *carrier) shares(ctx context.Context) error {
	mine, err := fstab(c.old)
	if err != nil {
		return err
	}
	lines, err := fstab(c.to)
	if err != nil {
		return err
	}
	var image []string
	if c.Image != nil {
		if image, err = fstab(sysroot.Dir{Root: c.Image}); err != nil {
			return err
		}
	}
	before := slices.Clone(lines)
	for _, line := range mine {
		folder, ours := share.Folder(line)
		if !ours || slices.Contains(image, line) || slices.Contains(lines, line) {
			continue
		}
		at := slices.IndexFunc(lines, func(l string) bool { f, _ := share.Folder(l); return f == folder })
		if at >= 0 {
			if _, theirs := share.Folder(lines[at]); !theirs {
				c.left("the share at %s: the new image mounts something else there", folder)
				continue
			}
			lines = slices.Delete(lines, at, at+1)
		}
		if err := c.to.MakeDir(strings.TrimPrefix(folder, "/"), 0o755); err != nil {
			return err
		}
		lines = append(lines, line)
		c.carried("the share at %s", folder)
		c.needs(line)
	}
	if !slices.Equal(lines, before) {
		if err := c.to.Replace("etc/fstab", []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	return c.path(ctx, share.Dir)
}

// needs says what the new image lacks for a share.
func (c *carrier) needs(line string) {
	kind := strings.Fields(line)[2]
	if c.to.Program("mount."+kind) == "" {
		c.left("what mounts the share %s: the new image has no mount.%s, install its package in the template",
			strings.Fields(line)[0], kind)
	}
}

func fstab(d sysroot.Dir) ([]string, error) {
	b, err := d.Read("etc/fstab")
	var lines []string
	for line := range strings.Lines(string(b)) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, err
}
