package maintain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"griddle/appliance/setting"
)

func hostname() Task {
	return Task{
		Name: "hostname", Title: "Hostname", Example: "lab-07",
		About:  "The name of this machine. A domain stays.",
		Fields: []Field{{Name: "name", Label: "Hostname", Help: "letters, digits and -", Required: true, First: true}},
		check:  func(v Values) (setting.Settings, error) { return setting.Settings{Hostname: v["name"]}, nil },
		do: func(ctx context.Context, w *work) error {
			var err error
			if w.s.Domain, err = w.domain(); err != nil {
				return err
			}
			if err := w.apply(ctx); err != nil {
				return err
			}
			if w.SetHostname != nil {
				if err := w.SetHostname(w.s.Hostname); err != nil {
					return err
				}
			}
			w.say("The hostname is %s.", w.s.Hostname)
			w.later("Programs that run already may use the old one until the machine restarts.")
			return nil
		},
	}
}

// domain is the one that /etc/hosts has, "" for none.
func (w *work) domain() (string, error) {
	hosts, err := w.dir.Read("etc/hosts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(hosts)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "127.0.1.1" {
			_, domain, _ := strings.Cut(f[1], ".")
			if (setting.Settings{Domain: domain}).Check() != nil {
				return "", nil
			}
			return domain, nil
		}
	}
	return "", nil
}

func domain() Task {
	return Task{
		Name: "domain", Title: "DNS domain", Example: "lab.example.org",
		About: "The DNS domain of this machine, for its full name. To join a domain of Active Directory, use join.",
		Fields: []Field{{Name: "domain", Label: "Domain", Help: "such as lab.example.org", Required: true,
			First: true}},
		check: func(v Values) (setting.Settings, error) { return setting.Settings{Domain: v["domain"]}, nil },
		do: func(ctx context.Context, w *work) error {
			if err := w.apply(ctx); err != nil {
				return err
			}
			w.say("The domain is %s: /etc/hosts has the full name.", w.s.Domain)
			w.later("Programs that run already may use the old one until they start again.")
			return nil
		},
	}
}

func join() Task {
	return Task{
		Name: "join", Title: "Join a domain", Example: "ad.example.org --user administrator --password",
		About: "Joins a domain of Active Directory or FreeIPA with realmd, so that its users can log in here.",
		Fields: []Field{
			{Name: "domain", Label: "Domain", Help: "such as ad.example.org", Required: true, First: true},
			{Name: "user", Label: "User", Help: "who may join machines", Required: true},
			{Name: "password", Label: "Password", Help: "of that user", Required: true, Secret: true}},
		check: func(v Values) (setting.Settings, error) {
			if strings.HasPrefix(v["user"], "-") {
				return setting.Settings{}, errors.New("the user begins with -")
			}
			return setting.Settings{Domain: v["domain"]}, nil // for the check of its name alone
		},
		do: func(ctx context.Context, w *work) error {
			if w.dir.Program("realm") == "" {
				return errors.New("the system has no realm: install the packages realmd and sssd")
			}
			if !w.Running || w.Run == nil {
				return errors.New("this works only on the running system: start it, and use " +
					"griddle-agent maintain join")
			}
			// realm asks for the password on its input.
			err := w.Run(ctx, Program{Name: "realm", Args: []string{"join", "--verbose", "--user", w.v["user"],
				w.v["domain"]}, Input: w.v["password"] + "\n"})
			if err != nil {
				return fmt.Errorf("joining %s: %w", w.v["domain"], err)
			}
			w.say("This machine is a member of %s.", w.v["domain"])
			return nil
		},
	}
}

func timezone() Task {
	return Task{
		Name: "timezone", Title: "Time zone", Example: "Europe/Berlin",
		About: "The time zone of this machine.",
		Fields: []Field{{Name: "zone", Label: "Time zone", Help: "such as Europe/Berlin", Required: true,
			First: true}},
		check: func(v Values) (setting.Settings, error) { return setting.Settings{Zone: v["zone"]}, nil },
		do: func(ctx context.Context, w *work) error {
			if err := w.apply(ctx); err != nil {
				return err
			}
			w.say("The time zone is %s.", w.s.Zone)
			w.later("Programs that run already use the old one until they start again.")
			return nil
		},
	}
}
