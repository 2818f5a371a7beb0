package setting

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"griddle/appliance/setting"
	"griddle/appliance/sshd"
	"griddle/initramfs/systemd"
)

const (
	sshdMain = "etc/ssh/sshd_config"
	sshdDir  = "etc/ssh/sshd_config.d"
	sshdOurs = sshdDir + "/00-griddle.conf" // sshd.File
)

// ssh configures the ssh server (sshd_config(5)): of most keywords the first value wins, so ours come first.
func (w *writer) ssh(context.Context) error {
	text := sshdText(w.s)
	if text == "" {
		return nil
	}
	main, err := w.Read(sshdMain)
	if err != nil {
		return err
	}
	if main == nil {
		return lacks("ssh: it has no ssh server: install the package openssh-server in the template")
	}
	if w.s.SSH.Port != 0 || w.s.SSH.Secure {
		if main, err = w.onePort(main); err != nil {
			return err
		}
	}
	rest := withoutBlock(main)
	if includesFirst(rest) {
		if err := w.Write(sshdOurs, []byte(text), 0o600); err != nil {
			return err
		}
	} else {
		rest = block(text) + rest
	}
	if err := w.Replace(sshdMain, []byte(rest), 0o644); err != nil {
		return err
	}
	socket := systemd.HasUnit(w.Dir, "ssh.socket") || systemd.HasUnit(w.Dir, "sshd.socket")
	if port := sshPort(w.s); port != 22 && socket {
		unit := "ssh.socket"
		if !systemd.HasUnit(w.Dir, unit) {
			unit = "sshd.socket"
		}
		err := w.Write("etc/systemd/system/"+unit+".d/griddle.conf", []byte(sshd.Socket(port)), 0o644)
		if err != nil {
			return err
		}
	}
	if w.s.SSH.Secure {
		return w.firewall()
	}
	return nil
}

func sshPort(s setting.Settings) uint16 {
	if s.SSH.Port == 0 {
		return 22
	}
	return uint16(s.SSH.Port)
}

// sshdText is what sshd is configured with, "" for nothing. In the secure state users that the image brings are not let
// in.
func sshdText(s setting.Settings) string {
	if s.SSH.Secure {
		var names []string
		for _, u := range s.Users {
			if len(u.Keys) > 0 {
				names = append(names, u.Name)
			}
		}
		return sshd.Secure(sshPort(s), names)
	}
	var b strings.Builder
	if s.SSH.Port != 0 {
		fmt.Fprintf(&b, "Port %d\n", s.SSH.Port)
	}
	switch s.SSH.RootLogin {
	case setting.RootNever, setting.RootYes:
		fmt.Fprintf(&b, "PermitRootLogin %s\n", s.SSH.RootLogin)
	case setting.RootKeys:
		b.WriteString("PermitRootLogin prohibit-password\n")
	}
	if p := s.SSH.PasswordLogin; p != nil {
		word := map[bool]string{true: "yes", false: "no"}[*p]
		fmt.Fprintf(&b, "PasswordAuthentication %s\n", word)
		if !*p {
			b.WriteString("KbdInteractiveAuthentication no\n") // by which PAM asks for passwords too
		}
	}
	return b.String()
}

// includesFirst reports whether sshd_config includes its folder before it sets anything.
func includesFirst(config string) bool {
	for line := range strings.Lines(config) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		return strings.EqualFold(f[0], "include") &&
			slices.Contains(f[1:], "/etc/ssh/sshd_config.d/*.conf")
	}
	return false
}

// onePort turns the ports of the image into comments: sshd listens at each port that it finds. It returns sshd_config
// and writes the files of its folder.
func (w *writer) onePort(main []byte) ([]byte, error) {
	if !w.Has(sshdDir) {
		return withoutPorts(main), nil
	}
	entries, err := w.List(sshdDir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := path.Join(sshdDir, e.Name())
		if name == sshdOurs || !strings.HasSuffix(name, ".conf") || !e.Type().IsRegular() {
			continue
		}
		old, err := w.Read(name)
		if err != nil {
			return nil, err
		}
		if now := withoutPorts(old); string(now) != string(old) {
			if err := w.Replace(name, now, 0o644); err != nil {
				return nil, err
			}
		}
	}
	return withoutPorts(main), nil
}

func withoutPorts(config []byte) []byte {
	var out strings.Builder
	ours := false
	for line := range strings.Lines(string(config)) {
		switch strings.TrimSuffix(line, "\n") {
		case blockBegin:
			ours = true
		case blockEnd:
			ours = false
		}
		key := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t=\n", r) })
		if !ours && len(key) > 0 && strings.EqualFold(key[0], "port") {
			line = "#" + line
		}
		out.WriteString(line)
	}
	return []byte(out.String())
}
