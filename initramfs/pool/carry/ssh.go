package carry

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"griddle/initramfs/setting"
)

// sshFile has what settings and `griddle-agent maintain ssh` configure the ssh server with, and what people added.
const sshFile = "etc/ssh/sshd_config.d/00-griddle.conf"

// ssh carries how the machine is logged in to. The secure state comes with its firewall.
func (c *carrier) ssh(ctx context.Context) error {
	now, users, err := setting.SSH(c.Old)
	if err != nil {
		return err
	}
	if reflect.ValueOf(now).IsZero() {
		return nil
	}
	if c.Image != nil {
		was, others, err := setting.SSH(c.Image)
		if err == nil && reflect.DeepEqual(now, was) && reflect.DeepEqual(users, others) {
			return nil
		}
	}
	err = setting.ChangeSSH(c.New, now, users)
	if errors.Is(err, setting.ErrImage) && !now.Secure {
		c.left("the configuration of ssh: %v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuring ssh: %w", err)
	}
	c.carried("the configuration of ssh")
	if !c.to.HasFile(sshFile) { // it is in sshd_config
		return nil
	}
	return c.path(ctx, sshFile)
}
