package machine

import (
	"cmp"
	"context"
	"errors"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/setting"
	"griddle/cloud/audit"
)

// auditWant is what the settings of a machine declare, as an audit takes it. The machine was installed with hostname,
// which the settings may not have.
func auditWant(s setting.Settings, hostname string) audit.Want {
	w := audit.Want{Hostname: cmp.Or(s.Hostname, hostname), SSHPort: uint16(cmp.Or(s.SSH.Port, 22)), Zone: s.Zone,
		NTP: s.NTP, Loose: !s.SSH.Secure, NoRoot: s.SSH.RootLogin == setting.RootNever,
		NoPasswords: s.SSH.PasswordLogin != nil && !*s.SSH.PasswordLogin}
	for _, u := range s.Users {
		w.Users = append(w.Users, audit.User{Name: u.Name, Sudo: u.Sudo, Local: len(u.Keys) == 0})
		if w.Admin == "" && u.Sudo && len(u.Keys) > 0 {
			w.Admin = u.Name
		}
	}
	return w
}

// keysOf are the lines of authorized_keys that the settings give a user.
func keysOf(s setting.Settings, user string) []string {
	if user == "root" {
		return s.Root.Keys
	}
	for _, u := range s.Users {
		if u.Name == user {
			return u.Keys
		}
	}
	return nil
}

// declared are the settings that the server has for a machine, without secrets.
func declared(ctx context.Context, client *api.Client, m api.Machine) (setting.Settings, error) {
	got, err := client.Settings(ctx, m.ID)
	switch {
	case err != nil:
		return setting.Settings{}, err
	case len(got.Mistakes) > 0 || got.Public == nil:
		return setting.Settings{}, cli.WithHint(errors.New("its settings have mistakes"),
			"`griddle machine settings %s` lists them.", m.Name)
	}
	return *got.Public, nil
}
