package setting

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Secrets lists the places of all secrets, none for settings that may go to a machine that has not proved itself.
func (s Settings) Secrets() []string {
	var out []string
	has := func(is bool, place string) {
		if is {
			out = append(out, place)
		}
	}
	has(isHash(s.Root.PasswordHash), "root.passwordHash")
	for _, u := range s.Users {
		has(isHash(u.PasswordHash), fmt.Sprintf("users[%s].passwordHash", u.Name))
	}
	for _, f := range s.Files {
		has(f.Secret, fmt.Sprintf("files[%s]", f.Path))
	}
	for _, h := range s.Hooks {
		has(h.Secret, fmt.Sprintf("hooks[%s]", h.Name))
	}
	has(s.Configure != nil && len(s.Configure.Data) > 0, "configure.data")
	has(s.Disks.Passphrase != "", "disks.passphrase")
	has(s.UserData != "", "userData")
	return out
}

// Empty reports whether the settings leave the image as it is.
func (s Settings) Empty() bool {
	s.Version = 0
	b, err := json.Marshal(s)
	return err == nil && string(b) == "{}"
}

// isHash reports whether a password hash can be tried: "!" and "*" cannot.
func isHash(hash string) bool { return hash != "" && hash != "!" && hash != "*" }

// Public is s without its secrets: users without a password, no secret files and hooks, no data, no passphrase, no
// user-data.
func (s Settings) Public() Settings {
	if isHash(s.Root.PasswordHash) {
		s.Root.PasswordHash = ""
	}
	s.Users = slices.Clone(s.Users)
	for i := range s.Users {
		if isHash(s.Users[i].PasswordHash) {
			s.Users[i].PasswordHash = ""
		}
	}
	s.Files = slices.DeleteFunc(slices.Clone(s.Files), func(f File) bool { return f.Secret })
	s.Hooks = slices.DeleteFunc(slices.Clone(s.Hooks), func(h Hook) bool { return h.Secret })
	if s.Configure != nil && len(s.Configure.Data) > 0 {
		c := *s.Configure
		c.Data = nil
		s.Configure = &c
	}
	s.UserData, s.Disks.Passphrase = "", ""
	return s
}
