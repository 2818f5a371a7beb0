package setting

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"griddle/appliance/setting"
)

// What ChangeSSH writes, SSH reads again, whether sshd_config includes its folder or not.
func TestChangeSSH(t *testing.T) {
	t.Parallel()
	no := false
	for _, main := range []string{"Include /etc/ssh/sshd_config.d/*.conf\nPort 2222\n", "UsePAM yes\n"} {
		d := tree(t, t.TempDir())
		for name, text := range map[string]string{"etc/ssh/sshd_config": main, "usr/sbin/nft": "",
			"lib/systemd/system/nftables.service": "", "etc/ssh/sshd_config.d/x.conf": "X11Forwarding no\n"} {
			if err := d.Write(name, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if now, users, err := SSH(d.Root); now != (setting.SSH{}) || users != nil || err != nil {
			t.Errorf("SSH of an image = %+v, %v, %v", now, users, err)
		}
		for _, s := range []setting.SSH{{Port: 22022}, {RootLogin: setting.RootKeys, PasswordLogin: &no},
			{Port: 23, RootLogin: setting.RootNever, PasswordLogin: &no, Secure: true}} {
			users := []string{"ada", "eve"}
			if !s.Secure {
				users = nil
			}
			if err := ChangeSSH(d.Root, s, users); err != nil {
				t.Fatal(err)
			}
			now, in, err := SSH(d.Root)
			if err != nil || !reflect.DeepEqual(now, s) || !slices.Equal(in, users) {
				t.Errorf("SSH = %+v, %v, %v, want %+v, %v", now, in, err, s, users)
			}
		}
		if err := ChangeSSH(d.Root, setting.SSH{Secure: true}, nil); err == nil {
			t.Error("ChangeSSH locked out everyone")
		}
	}
}

// Settings with one user leave the sudo of the others.
func TestSudoOfOthersStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := tree(t, dir)
	for name, text := range map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\n",
		"etc/shadow": "root:*:::::::\n", "etc/group": "root:x:0:\n", "etc/sudoers": "@includedir /etc/sudoers.d\n"} {
		if err := d.Write(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "etc/skel"), 0o755); err != nil {
		t.Fatal(err)
	}
	apply := func(users ...setting.User) {
		t.Helper()
		if err := Apply(t.Context(), d.Root, setting.Settings{Users: users}, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	sudo := func(name string) bool {
		is, err := Sudo(d.Root, name)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	apply(setting.User{Name: "ada", Sudo: true})
	apply(setting.User{Name: "eve", Sudo: true})
	apply(setting.User{Name: "bob"})
	if !sudo("ada") || !sudo("eve") || sudo("bob") || sudo("ad") {
		t.Error("sudo of ada or eve is gone, or bob has it")
	}
	apply(setting.User{Name: "ada"})
	apply(setting.User{Name: "eve"})
	if _, err := d.Stat(sudoersFile); sudo("ada") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ada still has sudo: %v", err)
	}
}
