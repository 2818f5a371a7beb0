package setting

import (
	"context"
	"strings"

	"griddle/appliance/setting"
	"griddle/appliance/setting/configurator"
	"griddle/initramfs/systemd"
)

// configure hands the machine over to Puppet or Ansible, from its first start on.
func (w *writer) configure(context.Context) error {
	if w.s.Configure == nil {
		return nil
	}
	c := *w.s.Configure
	if err := w.configures(c); err != nil {
		return err
	}
	files, err := configurator.Files(c)
	if err != nil {
		return err
	}
	for _, f := range files {
		name := strings.TrimPrefix(f.Path, "/")
		if err := w.Write(name, f.Bytes(), permissions(f.Permissions())); err != nil {
			return err
		}
	}
	for _, unit := range configurator.Units(c) {
		target := "multi-user.target"
		if strings.HasSuffix(unit, ".timer") {
			target = "timers.target"
		}
		if err := systemd.Start(w.Dir, unit, target); err != nil {
			return err
		}
	}
	return nil
}

// configures checks that the image has the programs.
func (w *writer) configures(c setting.Configure) error {
	program, pack := "puppet", "puppet-agent"
	switch {
	case c.Tool == setting.Ansible && c.Git != "":
		program, pack = "ansible-pull", "ansible-core"
	case c.Tool == setting.Ansible:
		program, pack = "ansible-playbook", "ansible-core"
	}
	if w.Program(program) == "" && !w.HasFile("opt/puppetlabs/bin/"+program) {
		return lacks("configure: it has no %s: install the package %s in the template", program, pack)
	}
	if c.Git != "" && w.Program("git") == "" {
		return lacks("configure.git: it has no git: install the package git in the template")
	}
	return nil
}
