package newroot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/sysroot"
)

// Hostname is the hostname of a machine without a name: its serial number, reduced to the characters of a hostname (RFC
// 1123 section 2.1), else "m" and its first MAC address, else "griddle".
func Hostname(m job.Identity) string {
	if s := label(m.Serial); s != "" && !filler(m.Serial) {
		if strings.Trim(s, "0123456789") == "" {
			s = "sn" + s // digits alone would be taken for an address
		}
		return s
	}
	for _, mac := range m.MACs {
		if s := strings.ReplaceAll(label(mac), "-", ""); len(s) == 12 {
			return "m" + s
		}
	}
	return "griddle"
}

// label leaves room for what comes before it.
func label(s string) string { return setting.HostPart(s, 60) }

// filler says whether a serial number is what makers of boards leave in the field.
func filler(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	if strings.Trim(s, "0.-x ") == "" {
		return true
	}
	return slices.Contains([]string{
		"to be filled by o.e.m.", "default string", "not specified", "not applicable", "not available",
		"system serial number", "none", "n/a", "na", "empty", "unknown", "oem", "123456789", "1234567890", "invalid",
		"serial number", "chassis serial number",
	}, s)
}

// identity makes the system another machine than its template: name, machine ID, random seed and ssh host keys.
func (m *making) identity(hostname string) error {
	if err := Rename(m.Dir, hostname); err != nil {
		return err
	}
	id := []byte(strings.ReplaceAll(uuid.NewString(), "-", "") + "\n")
	if err := m.Write("etc/machine-id", id, 0o444); err != nil {
		return err
	}
	// A copy of the ID here is as old as the template; Debian's is a symlink to the one above.
	if st, err := m.Lstat("var/lib/dbus/machine-id"); err == nil && st.Mode().IsRegular() {
		if err := m.Write("var/lib/dbus/machine-id", id, 0o644); err != nil {
			return err
		}
	}
	if _, err := m.Stat("var/lib/systemd"); err == nil {
		if err := m.Write("var/lib/systemd/random-seed", random(512), 0o600); err != nil {
			return err
		}
	}
	for _, secret := range []string{"var/lib/systemd/credential.secret", "var/lib/NetworkManager/secret_key"} {
		if err := m.Remove(secret); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the template's /%s: %w", secret, err)
		}
	}
	return m.hostKeys(hostname)
}

func (m *making) hasHostKey() bool {
	entries, err := m.List("etc/ssh")
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return strings.HasPrefix(e.Name(), "ssh_host_") && strings.HasSuffix(e.Name(), "_key")
	})
}

// Rename gives a system its name, in /etc/hostname and /etc/hosts.
func Rename(s sysroot.Dir, hostname string) error {
	if h := label(hostname); h == "" || strings.IndexFunc(hostname, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == '#'
	}) >= 0 {
		return fmt.Errorf("naming the system: %q is not a valid hostname", job.Printable(hostname))
	}
	if err := s.Write("etc/hostname", []byte(hostname+"\n"), 0o644); err != nil {
		return err
	}
	hosts, err := s.Read("etc/hosts")
	if err != nil {
		return err
	}
	return s.Write("etc/hosts", sysroot.SetHostLine(hosts, hostname), 0o644)
}

// hostKeys takes the template's ssh host keys away and, where the system has an ssh server, makes new ones of the same
// types; of every usual type where the template had none.
func (m *making) hostKeys(hostname string) error {
	entries, err := m.List("etc/ssh")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var types []string
	for _, e := range entries {
		kind, ok := strings.CutPrefix(e.Name(), "ssh_host_")
		if !ok {
			continue
		}
		if err := m.RemoveAll(path.Join("etc/ssh", e.Name())); err != nil {
			return fmt.Errorf("removing the template's host keys: %w", err)
		}
		if kind, ok := strings.CutSuffix(kind, "_key"); ok {
			types = append(types, kind)
		}
	}
	if _, err := m.Lstat("usr/sbin/sshd"); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if len(types) == 0 {
		types = []string{"ed25519", "ecdsa", "rsa"}
	}
	for _, t := range types {
		private, public, err := newHostKey(t, "root@"+hostname)
		if err != nil {
			return err
		}
		if private == nil {
			continue
		}
		if err := m.Write("etc/ssh/ssh_host_"+t+"_key", private, 0o600); err != nil {
			return err
		}
		if err := m.Write("etc/ssh/ssh_host_"+t+"_key.pub", public, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// random returns n bytes that no one can guess.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
