package setting

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

func (c *checker) password(at, hash string) {
	switch {
	case hash == "" || passwordHash.MatchString(hash):
	case strings.HasPrefix(hash, "$"):
		c.wrong(at, "this kind of hash is too weak or unknown: %s", HashPassword)
	default:
		c.wrong(at, "this is not the hash of a password: %s", HashPassword) // without quoting what may be a password
	}
}

// HashPassword tells how people make a hash.
const HashPassword = "run `openssl passwd -6`, type the password, and use the line that it prints as passwordHash"

func (c *checker) keys(at string, keys []string) {
	if len(keys) > maxKeys {
		c.wrong(at, "it has %d keys, the limit is %d", len(keys), maxKeys)
		return
	}
	for i, k := range keys {
		at := fmt.Sprintf("%s[%d]", at, i)
		if strings.Contains(k, "PRIVATE KEY") {
			c.wrong(at, "this is a private key: give the line of the file that ends in .pub")
			continue
		}
		public, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(k))
		switch {
		case err != nil || len(rest) > 0 || strings.ContainsAny(k, "\r\n\x00"):
			c.wrong(at, "%s is not a line of authorized_keys", quote(k))
		case public.Type() == "ssh-dss":
			c.wrong(at, "ssh servers no longer accept DSA keys: make one with `ssh-keygen -t ed25519`")
		case slices.Contains(keys[:i], k):
			c.wrong(at, "the key is in the list twice")
		}
	}
}

func (c *checker) users(all []User) {
	if len(all) > maxUsers {
		c.wrong("users", "there are %d users, the limit is %d", len(all), maxUsers)
		return
	}
	names, ids := map[string]bool{}, map[int]string{}
	for _, u := range all {
		at := fmt.Sprintf("users[%s]", u.Name)
		switch {
		case u.Name == "root":
			c.wrong(at, "root has its own key: use root.passwordHash and root.keys")
		case !account.MatchString(u.Name):
			c.wrong(at, "%s is not a name for a user: a letter or _ first, then a to z, digits, _ and -, at most 32",
				quote(u.Name))
		case names[u.Name]:
			c.wrong(at, "the user is in the list twice")
		}
		names[u.Name] = true
		if u.UID != 0 && (u.UID < 1000 || u.UID > 59999) {
			c.wrong(at+".uid", "%d is not between 1000 and 59999", u.UID)
		}
		if other := ids[u.UID]; u.UID != 0 && other != "" {
			c.wrong(at+".uid", "%s has the same number", other)
		}
		ids[u.UID] = u.Name
		if strings.ContainsAny(u.FullName, ":,\n\r\x00") || !utf8.ValidString(u.FullName) || len(u.FullName) > 128 {
			c.wrong(at+".fullName", "it must not have colons, commas or line breaks, and at most 128 bytes")
		}
		if u.Shell != "" && !isPath(u.Shell) {
			c.wrong(at+".shell", "%s is not an absolute path", quote(u.Shell))
		}
		c.password(at+".passwordHash", u.PasswordHash)
		c.keys(at+".keys", u.Keys)
		c.each(at+".groups", u.Groups, account.MatchString, "a name for a group")
	}
}

func (c *checker) ssh(s Settings) {
	if s.SSH.Port < 0 || s.SSH.Port > 65535 {
		c.wrong("ssh.port", "%d is not between 1 and 65535", s.SSH.Port)
	}
	switch s.SSH.RootLogin {
	case "", RootNever, RootKeys, RootYes:
	default:
		c.wrong("ssh.rootLogin", "%s is not no, keys or yes", quote(string(s.SSH.RootLogin)))
	}
	if !s.SSH.Secure {
		return
	}
	if s.SSH.RootLogin != "" && s.SSH.RootLogin != RootNever {
		c.wrong("ssh.secure", "the secure state lets root not log in: remove ssh.rootLogin, or ssh.secure")
	}
	if s.SSH.PasswordLogin != nil && *s.SSH.PasswordLogin {
		c.wrong("ssh.secure", "the secure state allows keys only: remove ssh.passwordLogin, or ssh.secure")
	}
	if !c.part && !slices.ContainsFunc(s.Users, func(u User) bool { return u.Sudo && len(u.Keys) > 0 }) {
		c.wrong("ssh.secure", "the secure state needs a user with sudo and a key, or no one could log in")
	}
}
