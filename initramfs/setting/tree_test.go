package setting

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/setting/treetest"
)

// apply applies settings of testdata/trees to a tree, whose programs it runs, and returns the notes.
func apply(t *testing.T, tr treetest.Tree, name string) []string {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("testdata/trees", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	err = Apply(t.Context(), tree(t, tr.Dir).Root, resolve(t, document), Options{
		Run: func(ctx context.Context, name string, args ...string) error {
			_, err := tr.Run(ctx, name, args...)
			return err
		},
		Note: func(text string) { notes = append(notes, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return notes
}

// says runs a program of a tree, which must end well, and have all of want in its output.
func says(t *testing.T, tr treetest.Tree, command string, want ...string) {
	t.Helper()
	args := strings.Fields(command)
	out, err := tr.Run(t.Context(), args[0], args[1:]...)
	if err != nil {
		t.Error(err)
		return
	}
	for _, w := range want {
		if !strings.Contains("\n"+out, "\n"+w) {
			t.Errorf("%s says no line that begins with %q:\n%s", command, w, out)
		}
	}
}

// accountsHold checks the account files, and that the settings gave the checkers nothing to say that they did not say
// of the tree before.
func accountsHold(t *testing.T, tr treetest.Tree, change func()) {
	t.Helper()
	check := func() (lines []string) {
		for _, program := range []string{"pwck", "grpck"} {
			out, _ := tr.Run(t.Context(), program, "-r") // it fails for homes that Debian's own users do not have
			lines = append(lines, strings.Split(out, "\n")...)
		}
		return lines
	}
	before := check()
	change()
	for _, line := range check() {
		if !slices.Contains(before, line) {
			t.Errorf("pwck or grpck says %q", line)
		}
	}
}

// program puts a program into a tree that does nothing: Puppet and Ansible are too large for these trees.
func program(t *testing.T, tr treetest.Tree, name string) {
	t.Helper()
	if err := tree(t, tr.Dir).Write(name, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// units are those that the full settings start.
const units = "griddle-configure.service griddle-configure.timer"

func TestDebian(t *testing.T) {
	t.Parallel()
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			t.Run("full", func(t *testing.T) { full(t, suite) })
			t.Run("secure", func(t *testing.T) { secured(t, treetest.Debian(t, suite), "etc/nftables.conf") })
			for _, program := range []string{"NetworkManager", "networkd", "ifupdown"} {
				t.Run(program, func(t *testing.T) { network(t, treetest.Debian(t, suite), program) })
			}
		})
	}
}

func full(t *testing.T, suite string) {
	tr := treetest.Debian(t, suite)
	program(t, tr, "usr/bin/ansible-playbook")
	accountsHold(t, tr, func() {
		if notes := apply(t, tr, "full"); len(notes) > 0 {
			t.Errorf("notes: %q", notes)
		}
	})
	says(t, tr, "locale -a", "de_DE.utf8")
	says(t, tr, "date +%Z -d 2026-01-01", "CET")
	says(t, tr, "cat /etc/default/keyboard", `XKBLAYOUT="de"`)
	says(t, tr, "getent -s files hosts lab", "127.0.1.1       lab.example.org lab")
	says(t, tr, "apt-config dump", `Acquire::http::Proxy "http://proxy.example.org:3128";`)
	logins(t, tr)
	services(t, tr)
	says(t, tr, "openssl verify -CApath /etc/ssl/certs "+authority(t, tr, "usr/local/share/ca-certificates"), "/usr")
	if suite == "bookworm" {
		says(t, tr, "chronyd -p", "server ntp.example.org iburst", "server 192.0.2.123 iburst")
		says(t, tr, "systemctl is-enabled chrony.service", "enabled")
	} else {
		says(t, tr, "systemd-analyze cat-config systemd/timesyncd.conf", "NTP=ntp.example.org 192.0.2.123")
		says(t, tr, "systemctl is-enabled systemd-timesyncd.service", "enabled")
	}
}

// logins checks users, sudo and the ssh server.
func logins(t *testing.T, tr treetest.Tree) {
	t.Helper()
	says(t, tr, "id ada", "uid=1500(ada) gid=1500(ada)")
	says(t, tr, "passwd -S root", "root P")
	says(t, tr, "passwd -S ada", "ada L")
	says(t, tr, "stat -c %U:%a /home/ada/.ssh/authorized_keys /etc/motd", "ada:600", "ada:640")
	says(t, tr, "visudo -c", "/etc/sudoers: parsed OK", "/etc/sudoers.d/90-griddle-settings: parsed OK")
	says(t, tr, "sudo -l -U ada", "    (ALL : ALL) NOPASSWD: ALL")
	says(t, tr, "ssh-keygen -A")
	says(t, tr, "sshd -T -C user=ada,host=h,addr=192.0.2.9", "port 2222\n", "permitrootlogin without-password",
		"passwordauthentication no", "kbdinteractiveauthentication no")
}

// services checks what systemd starts.
func services(t *testing.T, tr treetest.Tree) {
	t.Helper()
	says(t, tr, "systemd-analyze --man=no verify "+units)
	says(t, tr, "systemctl is-enabled "+units, "enabled\nenabled")
	says(t, tr, "systemd-analyze cat-config systemd/system.conf", `DefaultEnvironment="http_proxy=http://proxy`)
}

// authority is the file of the certificate in a folder.
func authority(t *testing.T, tr treetest.Tree, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(tr.Dir, dir, "griddle-*.crt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the certificates are %v, %v", files, err)
	}
	return strings.TrimPrefix(files[0], tr.Dir)
}

// secured checks the secure state, with the rules in a file.
func secured(t *testing.T, tr treetest.Tree, rules string) {
	t.Helper()
	accountsHold(t, tr, func() { apply(t, tr, "secure") })
	says(t, tr, "passwd -S root", "root L")
	says(t, tr, "passwd -S ada", "ada L")
	says(t, tr, "ssh-keygen -A")
	says(t, tr, "sshd -T -C user=ada,host=h,addr=192.0.2.9", "port 2222\n", "permitrootlogin no",
		"passwordauthentication no", "kbdinteractiveauthentication no", "authenticationmethods publickey",
		"allowusers ada")
	says(t, tr, "nft -c -f /"+rules)
	says(t, tr, "systemd-analyze --man=no verify nftables.service")
	says(t, tr, "systemctl is-enabled nftables.service", "enabled")
}

// The programs are Debian's, and the files have Fedora's names and contents: see package treetest.
func TestFedora(t *testing.T) {
	t.Parallel()
	t.Run("full", func(t *testing.T) {
		tr := treetest.Fedora(t)
		program(t, tr, "usr/bin/ansible-playbook")
		accountsHold(t, tr, func() {
			notes := apply(t, tr, "full")
			if len(notes) != 1 || !strings.Contains(notes[0], "SELinux") {
				t.Errorf("notes: %q", notes)
			}
		})
		says(t, tr, "locale -a", "de_DE.utf8")
		says(t, tr, "cat /etc/locale.conf", "LANG=de_DE.UTF-8\n")
		says(t, tr, "cat /etc/vconsole.conf", "KEYMAP=de\n")
		says(t, tr, "getent -s files hosts lab", "127.0.1.1       lab.example.org lab")
		says(t, tr, "grep -A1 main /etc/dnf/dnf.conf", "proxy=http://proxy.example.org:3128")
		says(t, tr, "stat -c %a /etc/shadow /etc/gshadow", "0\n0\n")
		says(t, tr, "chronyd -p -f /etc/chrony.conf", "server ntp.example.org iburst")
		says(t, tr, "systemctl is-enabled chronyd.service sshd.service", "enabled\nenabled")
		says(t, tr, "openssl verify -CAfile /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem "+
			authority(t, tr, "etc/pki/ca-trust/source/anchors"), "/etc")
		logins(t, tr)
		services(t, tr)
	})
	t.Run("secure", func(t *testing.T) { secured(t, treetest.Fedora(t), "etc/sysconfig/nftables.conf") })
	t.Run("NetworkManager", func(t *testing.T) { network(t, treetest.Fedora(t), "NetworkManager") })
}
