package declared

import (
	"fmt"
	"strings"

	"griddle/appliance/setting"
	"griddle/appliance/setting/proxy"
	"griddle/appliance/sshd"
	"griddle/cloud/userdata"
)

// written is a file as cloud-init writes it. It knows names of owners alone: numbers are given by the script.
func written(f setting.File) *userdata.File {
	w := &userdata.File{Path: f.Path, Content: f.Bytes(), Mode: uint32(f.Permissions())}
	if !numbered(f) && (f.Owner != "" || f.Group != "") {
		w.Owner = ownerOf(f)
	}
	return w
}

// numbered reports whether the owner or the group of a file is a number.
func numbered(f setting.File) bool {
	digit := func(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
	return digit(f.Owner) || digit(f.Group)
}

func ownerOf(f setting.File) string {
	owner, group := f.Owner, f.Group
	if owner == "" {
		owner = "root"
	}
	if group == "" {
		group = "root"
	}
	return owner + ":" + group
}

// filesOf are the files by which settings become true that cloud-init has no key for.
func filesOf(s setting.Settings) []setting.File {
	var files []setting.File
	add := func(path, format string, args ...any) {
		files = append(files, setting.File{Path: path, Content: fmt.Sprintf(format, args...)})
	}
	if s.Keymap != "" {
		add("/etc/vconsole.conf", "KEYMAP=%s\n", s.Keymap)
	}
	if text := sshdText(s.SSH); text != "" {
		add(sshd.File, "%s", text)
		if s.SSH.Port != 0 {
			add("/etc/systemd/system/ssh.socket.d/griddle.conf", "%s", sshd.Socket(uint16(s.SSH.Port)))
		}
	}
	if s.Proxy != "" {
		add(proxy.AptFile, "%s", proxy.Apt(s))
		add(proxy.ManagerFile, "%s", proxy.Manager(s))
	}
	return append(files, networkd(s.Network)...)
}

// sshdText comes first in sshd's directory, and what comes first wins. The secure state has its own.
func sshdText(s setting.SSH) string {
	var b strings.Builder
	if s.Secure {
		return ""
	}
	if s.Port != 0 {
		fmt.Fprintf(&b, "Port %d\n", s.Port)
	}
	if word := map[setting.RootLogin]string{setting.RootNever: "no", setting.RootKeys: "prohibit-password",
		setting.RootYes: "yes"}[s.RootLogin]; word != "" {
		fmt.Fprintf(&b, "PermitRootLogin %s\n", word)
	}
	return b.String()
}
