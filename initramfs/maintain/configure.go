package maintain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"griddle/appliance/setting"
)

// The files and units of package configurator that are used here.
const (
	configureData = "etc/griddle/configure/data.json"
	configureUnit = "griddle-configure.service"
)

func configure() Task {
	return Task{
		Name: "configure", Title: "Configuration server", Example: "--git https://git.example.org/lab.git --every 30m",
		About: "What configures this machine: Puppet or Ansible with a git repository, at each start and then again " +
			"after a time. It replaces what was there; the data of the settings stays.",
		Fields: []Field{
			{Name: "git", Label: "Repository", Help: "URL, or the path of a git bundle", Required: true},
			{Name: "tool", Label: "Program", Help: "puppet or ansible", Required: true,
				Choices: []string{"puppet", "ansible"}},
			{Name: "branch", Label: "Branch", Help: "empty: the default"},
			{Name: "entry", Label: "Entry", Help: "empty: site.pp or local.yml"},
			{Name: "every", Label: "Every", Help: "such as 30m; empty: at each start alone"}},
		check: func(v Values) (setting.Settings, error) {
			c := &setting.Configure{Tool: setting.Tool(v["tool"]), Git: v["git"], Branch: v["branch"],
				Entry: v["entry"]}
			if v["every"] != "" {
				d, err := time.ParseDuration(v["every"])
				if err != nil {
					return setting.Settings{}, errors.New("every is a time such as 30m or 12h")
				}
				c.Every = setting.Duration(d)
			}
			return setting.Settings{Configure: c}, nil
		},
		do: func(ctx context.Context, w *work) error {
			data, err := w.dir.Read(configureData)
			if err == nil && data != nil {
				err = json.Unmarshal(data, &w.s.Configure.Data)
			}
			if err != nil {
				return fmt.Errorf("reading /%s: %w", configureData, err)
			}
			if err := w.apply(ctx); err != nil {
				return err
			}
			w.say("%s configures this machine from %s.", w.s.Configure.Tool, w.s.Configure.Git)
			if !w.Running || w.Run == nil {
				w.later("")
				return nil
			}
			if err := w.run(ctx, "systemctl", "daemon-reload"); err != nil {
				return err
			}
			return w.configureNow(ctx)
		},
	}
}

func configureNow() Task {
	return Task{
		Name: "configure-now", Title: "Configure now",
		About: "Runs the configurator of this machine now, and does not wait for its end.",
		do: func(ctx context.Context, w *work) error {
			if w.service(configureUnit) == "" {
				return errors.New("this system has no configurator: griddle-agent maintain configure sets one up")
			}
			if !w.Running || w.Run == nil {
				return errors.New("this works only on the running system; it runs at each start")
			}
			return w.configureNow(ctx)
		},
	}
}

func (w *work) configureNow(ctx context.Context) error {
	if err := w.run(ctx, "systemctl", "start", "--no-block", configureUnit); err != nil {
		return err
	}
	w.say("It runs now. Its log: journalctl -u %s", configureUnit)
	return nil
}

func bootloader() Task {
	return Task{
		Name: "bootloader", Title: "Bootloader",
		About: "Installs GRUB on the disk of this machine again, for BIOS and for UEFI. What boots stays.",
		do: func(_ context.Context, w *work) error {
			if w.Bootloader == nil {
				return errors.New("the disk of this system is not known")
			}
			if err := w.Bootloader(); err != nil {
				return err
			}
			w.say("GRUB is installed again.")
			return nil
		},
	}
}
