package maintain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"griddle/appliance/setting"
	write "griddle/initramfs/setting"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// rounds is the work of one hash: about a tenth of a second.
const rounds = 100000

// maxPassword is the size of the longest password, in bytes: crypt(3) of glibc takes 511.
const maxPassword = 500

// hash is a password as crypt(5) stores it, by SHA-512, which every system knows.
func hash(password string) (string, error) {
	if len(password) > maxPassword {
		return "", fmt.Errorf("the password has more than %d bytes", maxPassword)
	}
	h, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(rounds))
	if err != nil {
		return "", fmt.Errorf("hashing the password: %w", err)
	}
	d, err := h.Hash(password)
	if err != nil {
		return "", fmt.Errorf("hashing the password: %w", err)
	}
	return d.Encode(), nil
}

func rootPassword() Task {
	return Task{
		Name: "root-password", Title: "Root password",
		About:  "The password of root, for the console, and for ssh where that allows it.",
		Fields: []Field{{Name: "password", Label: "Password", Help: "of root", Required: true, Secret: true}},
		check: func(v Values) (setting.Settings, error) {
			h, err := hash(v["password"])
			return setting.Settings{Root: setting.Root{PasswordHash: h}}, err
		},
		do: func(ctx context.Context, w *work) error {
			if err := w.apply(ctx); err != nil {
				return err
			}
			w.say("Root has a new password.")
			return w.warnOfSecure("griddle machine audit reports passwords")
		},
	}
}

// warnOfSecure says what differs from the secure state, where the machine has it.
func (w *work) warnOfSecure(what string) error {
	now, _, err := write.SSH(w.Root)
	if err == nil && now.Secure {
		w.say("This machine is in the secure state, where ssh takes keys alone: %s.", what)
	}
	return err
}

func user() Task {
	return Task{
		Name: "user", Title: "User", Example: "ada --ssh-key ada.pub --sudo yes",
		About: "Adds a user, or changes the password, the keys or the rights of one. What is not given stays.",
		Fields: []Field{
			{Name: "name", Label: "Name", Help: "of the user", Required: true, First: true},
			{Name: "password", Label: "Password", Help: "empty: it stays", Secret: true},
			{Name: "ssh-key", Label: "SSH key", Help: "a line of a .pub file, added to the keys", File: true},
			{Name: "sudo", Label: "Sudo", Help: "may become root: yes or no", Choices: []string{"yes", "no"}}},
		check: func(v Values) (setting.Settings, error) {
			u := setting.User{Name: v["name"], Sudo: v["sudo"] == "yes"}
			if v["ssh-key"] != "" {
				u.Keys = []string{v["ssh-key"]}
			}
			var err error
			if v["password"] != "" {
				u.PasswordHash, err = hash(v["password"])
			}
			return setting.Settings{Users: []setting.User{u}}, err
		},
		do: changeUser,
	}
}

func changeUser(ctx context.Context, w *work) error {
	u := &w.s.Users[0]
	if w.v["sudo"] == "" {
		var err error
		if u.Sudo, err = write.Sudo(w.Root, u.Name); err != nil {
			return err
		}
	}
	if err := w.apply(ctx); err != nil {
		return err
	}
	w.say("The user %s is as you said.", u.Name)
	now, in, err := write.SSH(w.Root)
	if err != nil || !now.Secure {
		return err
	}
	if len(u.Keys) > 0 && !slices.Contains(in, u.Name) {
		if err := write.ChangeSSH(w.Root, now, append(in, u.Name)); err != nil {
			return err
		}
		w.say("In the secure state ssh lets in %s too.", u.Name)
		return w.reloadSSH(ctx)
	}
	if u.PasswordHash != "" {
		return w.warnOfSecure("griddle machine audit reports passwords")
	}
	return nil
}

func ssh() Task {
	return Task{
		Name: "ssh", Title: "SSH", Example: "--port 2222 --root-login keys --password-login no",
		About: "How this machine is logged in to by ssh. What is not given stays.",
		Fields: []Field{
			{Name: "port", Label: "Port", Help: "1 to 65535"},
			{Name: "root-login", Label: "Login of root", Help: "no, keys or yes",
				Choices: []string{"no", "keys", "yes"}},
			{Name: "password-login", Label: "Passwords", Help: "yes or no", Choices: []string{"yes", "no"}}},
		check: func(v Values) (setting.Settings, error) {
			var s setting.Settings
			s.SSH.RootLogin = setting.RootLogin(v["root-login"])
			if v["password-login"] != "" {
				yes := v["password-login"] == "yes"
				s.SSH.PasswordLogin = &yes
			}
			if v["port"] == "" && s.SSH == (setting.SSH{}) {
				return s, errors.New("give a port, root-login or password-login")
			}
			if v["port"] == "" {
				return s, nil
			}
			var err error
			if s.SSH.Port, err = strconv.Atoi(v["port"]); err != nil || s.SSH.Port < 1 {
				return s, errors.New("the port is a number from 1 to 65535")
			}
			return s, nil
		},
		do: changeSSH,
	}
}

func changeSSH(ctx context.Context, w *work) error {
	now, users, err := write.SSH(w.Root)
	if err != nil {
		return err
	}
	want := w.s.SSH
	if now.Secure && (want.RootLogin != "" && want.RootLogin != setting.RootNever ||
		want.PasswordLogin != nil && *want.PasswordLogin) {
		return errors.New("this machine is in the secure state, where ssh takes the keys of users alone: " +
			"to leave it, install the machine again with other settings")
	}
	if want.Port != 0 {
		now.Port = want.Port
	}
	if want.RootLogin != "" {
		now.RootLogin = want.RootLogin
	}
	if want.PasswordLogin != nil {
		now.PasswordLogin = want.PasswordLogin
	}
	if err := write.ChangeSSH(w.Root, now, users); err != nil {
		return err
	}
	w.say("The configuration of ssh is written.")
	return w.reloadSSH(ctx)
}

// reloadSSH has the running ssh server read its configuration, if that is valid.
func (w *work) reloadSSH(ctx context.Context) error {
	if !w.Running || w.Run == nil {
		w.later("")
		return nil
	}
	// It wants its folder, which systemd makes when the server starts.
	if err := w.dir.MakeDir("run/sshd", 0o755); err != nil {
		return err
	}
	if err := w.run(ctx, "sshd", "-t"); err != nil {
		return fmt.Errorf("the configuration is written, but it is not valid, and the running server keeps the old "+
			"one: %w", err)
	}
	if now, _, err := write.SSH(w.Root); err == nil && now.Secure {
		if err := w.run(ctx, "systemctl", "reload-or-restart", "nftables.service"); err != nil {
			return fmt.Errorf("loading the rules of the firewall: %w", err)
		}
	}
	if err := w.run(ctx, "systemctl", "daemon-reload"); err != nil {
		return err
	}
	if socket := w.service("ssh.socket", "sshd.socket"); socket != "" {
		// It listens itself, where it is used.
		if err := w.run(ctx, "systemctl", "try-restart", socket); err != nil {
			return err
		}
	}
	if unit := w.service("ssh.service", "sshd.service"); unit != "" {
		if err := w.run(ctx, "systemctl", "try-reload-or-restart", unit); err != nil {
			return err
		}
	}
	w.say("The ssh server uses it now. Logins that are open stay open: try a new one before you close yours.")
	return nil
}
