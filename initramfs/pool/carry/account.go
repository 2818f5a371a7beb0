package carry

import (
	"context"
	"strings"

	"griddle/initramfs/passwd"
	"griddle/initramfs/pool/carry/accounts"
	"griddle/initramfs/sysroot"
)

// accounts carries users, groups and passwords.
func (c *carrier) accounts(context.Context) error {
	old, err := passwd.Read(c.old)
	if err != nil {
		return err
	}
	to, err := passwd.Read(c.to)
	if err != nil {
		return err
	}
	if len(old.Passwd.Lines) == 0 || len(to.Passwd.Lines) == 0 {
		c.left("users and groups: one of the systems has no /etc/passwd")
		return nil
	}
	var image *passwd.Accounts
	if c.Image != nil {
		if image, err = passwd.Read(sysroot.Dir{Root: c.Image}); err != nil {
			return err
		}
	}
	done, err := accounts.Merge(old, image, to, func(program string) bool {
		return c.to.HasFile(strings.TrimPrefix(program, "/"))
	})
	if err != nil {
		return err
	}
	c.report.Carried = append(c.report.Carried, done.Carried...)
	c.report.Left = append(c.report.Left, done.Left...)
	c.options.UID, c.options.GID = done.UID, done.GID
	return to.Save(c.to)
}
