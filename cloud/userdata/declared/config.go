package declared

import (
	"strings"

	"griddle/appliance/setting"
)

// config is what cloud-init has keys for.
func config(s setting.Settings, t tasks) map[string]any {
	c := map[string]any{}
	if s.Hostname != "" {
		c["hostname"], c["preserve_hostname"], c["manage_etc_hosts"] = s.Hostname, false, "localhost"
	}
	if s.Domain != "" {
		c["fqdn"], c["prefer_fqdn_over_hostname"] = s.Hostname+"."+s.Domain, false
	}
	if s.Zone != "" {
		c["timezone"] = s.Zone
	}
	if s.Locale != "" {
		c["locale"] = s.Locale
	}
	if s.Keymap != "" {
		c["keyboard"] = keyboard(s.Keymap)
	}
	if users := users(s); len(users) > 0 {
		c["users"] = users
	}
	if s.SSH.PasswordLogin != nil {
		c["ssh_pwauth"] = *s.SSH.PasswordLogin
	}
	if len(s.Root.Keys) > 0 || s.SSH.RootLogin == setting.RootKeys || s.SSH.RootLogin == setting.RootYes {
		c["disable_root"] = false // which would write another command before each key
	}
	if len(s.NTP) > 0 {
		c["ntp"] = map[string]any{"enabled": true, "servers": anys(s.NTP)}
	}
	if len(s.CA) > 0 {
		var all []any
		for _, text := range s.CA {
			all = append(all, strings.TrimSpace(text)+"\n")
		}
		c["ca_certs"] = map[string]any{"trusted": all}
	}
	if !t.none() {
		c["runcmd"] = []any{[]any{program}}
	}
	return c
}

// keyboard is the layout of a console keymap in the words of XKB: what comes before the first hyphen, but for uk.
func keyboard(keymap string) map[string]any {
	layout, kind, _ := strings.Cut(keymap, "-")
	if layout == "uk" {
		layout = "gb"
	}
	k := map[string]any{"layout": layout}
	if strings.HasSuffix(kind, "nodeadkeys") {
		k["variant"] = "nodeadkeys"
	}
	return k
}

func users(s setting.Settings) []any {
	var all []any
	for _, u := range s.Users {
		e := map[string]any{"name": u.Name, "lock_passwd": s.SSH.Secure}
		if u.FullName != "" {
			e["gecos"] = u.FullName
		}
		if u.UID != 0 {
			e["uid"] = u.UID
		}
		if len(u.Groups) > 0 {
			e["groups"] = anys(u.Groups)
		}
		if u.Sudo {
			e["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
		}
		e["shell"] = "/bin/bash"
		if u.Shell != "" {
			e["shell"] = u.Shell
		}
		login(e, u.PasswordHash, u.Keys, s.SSH.Secure)
		all = append(all, e)
	}
	if s.Root.PasswordHash == "" && len(s.Root.Keys) == 0 {
		return all
	}
	if len(all) == 0 {
		all = append(all, "default") // the image's own, which a list without it takes away
	}
	root := map[string]any{"name": "root", "lock_passwd": s.SSH.Secure}
	login(root, s.Root.PasswordHash, s.Root.Keys, s.SSH.Secure)
	return append(all, root)
}

// login is how a user logs in. The password is set of a user that exists too, which passwd would not do.
func login(e map[string]any, hash string, keys []string, secure bool) {
	if hash != "" && !secure {
		e["hashed_passwd"] = hash
	}
	if len(keys) > 0 {
		e["ssh_authorized_keys"] = anys(keys)
	}
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
