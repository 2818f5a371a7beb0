package carry

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"griddle/appliance/setting"
	write "griddle/initramfs/setting"
)

// sshFile has what settings and `griddle-agent maintain ssh` configure the ssh server with, and what people added.
const sshFile = "etc/ssh/sshd_config.d/00-griddle.conf"

// guarded are files by which a machine is guarded, and that settings write for the secure state. People may have
// changed them.
var guarded = []string{
	sshFile, "etc/systemd/system/ssh.socket.d/griddle.conf", "etc/systemd/system/sshd.socket.d/griddle.conf",
	"etc/nftables.conf", "etc/sysconfig/nftables.conf", "etc/systemd/system/nftables.service.d/griddle.conf",
	"etc/systemd/system/sysinit.target.wants/nftables.service",
}

// ssh carries how the machine is logged in to. The secure state comes with its firewall.
func (c *carrier) ssh(ctx context.Context) error {
	now, users, err := write.SSH(c.Old)
	switch {
	case err != nil: // it is carried as it is
		c.left("the configuration of ssh: %v", err)
	case c.changedSSH(now, users):
		if err := c.configure(now, users); err != nil {
			return err
		}
	}
	for _, at := range guarded {
		if err := c.path(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// changedSSH reports whether ssh is configured on the machine, and otherwise than in the image.
func (c *carrier) changedSSH(now setting.SSH, users []string) bool {
	if reflect.ValueOf(now).IsZero() {
		return false
	}
	if c.Image == nil {
		return true
	}
	was, others, err := write.SSH(c.Image)
	return err != nil || !reflect.DeepEqual(now, was) || !reflect.DeepEqual(users, others)
}

// configure writes how the machine is logged in to as the new image needs it: in sshd_config, or in a file beside it.
func (c *carrier) configure(now setting.SSH, users []string) error {
	err := write.ChangeSSH(c.New, now, users)
	if errors.Is(err, write.ErrImage) && !now.Secure {
		c.left("the configuration of ssh: %v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuring ssh: %w", err)
	}
	c.carried("the configuration of ssh")
	return nil
}
