// Package declared writes a machine's settings for an image with cloud-init.
//
// Call Parts for the user-data, to merge it with other parts, or Seed for all that the NoCloud data source takes.
// What cloud-init 22.4 cannot do by itself, a script does that it runs: change users that the image has, swap on btrfs,
// the proxy of logins, sshd's port, and the networks that it leaves out.
//
//	hostname, domain, zone, locale, keymap    hostname, fqdn, timezone, locale, keyboard, /etc/vconsole.conf
//	root, users                               users; the script changes shell, groups and name of one that exists
//	ssh                                       ssh_pwauth, a file for sshd; ssh.secure is package secure without ports
//	network                                   network-config of version 2; routes.sh and files for networkd
//	ntp, ca, files                            ntp, ca_certs, write_files
//	proxy                                     files for apt and systemd, /etc/environment
//	configure                                 package configurator's files and units
//	swap                                      /swapfile, on btrfs /swap/swapfile in a subvolume
//	userData                                  read as cloud-init would, and merged last
//
// Hooks and kernel arguments are not in it: Rest lists them. What installs a machine makes the swap file too, and then
// calls Seed with settings that have none.
//
// What cloud-init does in its own way: a user that the image has keeps its number, and the image's default user is made
// where the settings have no users. In the secure state all passwords are locked, those of the settings too.
//
// The package is pure: the same settings give the same bytes. User-data may have secrets in it, meta-data and
// network-config have none.
//
// Sources: cloud-init 22.4, docs "Module reference", "NoCloud" and "Networking config Version 2";
// cloudinit/net/network_state.py, networkd.py, eni.py, network_manager.py, config/cc_mounts.py, distros/__init__.py.
package declared

import (
	"errors"
	"fmt"

	"griddle/appliance/setting"
	"griddle/appliance/setting/configurator"
	"griddle/cloud/userdata"
	"griddle/cloud/userdata/pyyaml"
	"griddle/cloud/userdata/secure"
	"griddle/cloud/userdata/seed"
)

const from = "the machine's settings"

// Seed is the NoCloud seed of a machine with settings, which must have a hostname. A new instance ID makes cloud-init
// set the machine up again.
func Seed(instanceID string, s setting.Settings) (seed.Seed, error) {
	if s.Hostname == "" {
		return seed.Seed{}, errors.New("writing the settings for cloud-init: hostname: a seed needs one")
	}
	parts, err := Parts(s)
	if err != nil {
		return seed.Seed{}, err
	}
	m, err := userdata.Merge(parts)
	if err != nil {
		return seed.Seed{}, fmt.Errorf("writing the settings for cloud-init: %w", err)
	}
	b, err := m.Render(userdata.Options{})
	if err != nil {
		return seed.Seed{}, fmt.Errorf("writing the settings for cloud-init: %w", err)
	}
	return seed.Seed{InstanceID: instanceID, Hostname: s.Hostname, UserData: b, Network: network(s.Network)}, nil
}

// Parts is the user-data of a machine with settings after Resolve, in the order in which later parts win. The error
// lists what the settings, or their userData, have that cannot be.
func Parts(s setting.Settings) ([]userdata.Part, error) {
	parts, err := parts(s)
	if err != nil {
		return nil, fmt.Errorf("writing the settings for cloud-init: %w", err)
	}
	return parts, nil
}

func parts(s setting.Settings) ([]userdata.Part, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if s.Domain != "" && s.Hostname == "" {
		return nil, errors.New("domain: it needs a hostname")
	}
	var parts []userdata.Part
	if s.SSH.Secure {
		server := securing(s)
		var err error
		if parts, err = server.Parts(); err != nil {
			return nil, err
		}
	}
	files := filesOf(s)
	if s.Configure != nil {
		more, err := configurator.Files(*s.Configure)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	tasks := tasksOf(s)
	files = append(files, tasks.files()...)
	files = append(files, s.Files...) // the owner's replace those before
	if c := config(s, tasks); len(c) > 0 {
		parts = append(parts, userdata.Part{From: from, Config: c})
	}
	for _, f := range files {
		parts = append(parts, userdata.Part{From: from, File: written(f)})
	}
	if s.UserData == "" {
		return parts, nil
	}
	own, err := userdata.Read("userData", []byte(s.UserData), pyyaml.Read)
	return append(parts, own...), err
}

// Rest lists the places of what settings have that is not cloud-init's: what installs and updates the machine does it.
func Rest(s setting.Settings) []string {
	var out []string
	for _, h := range s.Hooks {
		out = append(out, fmt.Sprintf("hooks[%s]", h.Name))
	}
	if len(s.Args) > 0 {
		out = append(out, "args")
	}
	if s.Updates.Nightly != nil {
		out = append(out, "updates.nightly")
	}
	if s.Updates.Server != "" {
		out = append(out, "updates.server")
	}
	if len(s.Keep) > 0 {
		out = append(out, "keep")
	}
	return out
}

// securing is the secure state of a machine, which lets in ssh alone. Users without keys cannot log in by ssh.
func securing(s setting.Settings) *secure.Server {
	server := &secure.Server{Hostname: s.Hostname, SSH: secure.SSH{Port: uint16(s.SSH.Port)}, Zone: s.Zone,
		Locale: s.Locale, KeepHostKeys: true} // the install made them, or an update took them over
	for _, u := range s.Users {
		if len(u.Keys) == 0 {
			continue
		}
		if server.Admin == "" && u.Sudo {
			server.Admin = u.Name
		}
		server.Users = append(server.Users, secure.User{Name: u.Name, Keys: u.Keys, Sudo: u.Sudo, Groups: u.Groups})
	}
	return server
}
