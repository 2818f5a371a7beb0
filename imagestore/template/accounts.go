package template

import (
	"bytes"
	"context"
	"path"
	"strconv"
	"strings"
)

// Account is a user of the tree with a password or keys, who can log in wherever the tree is installed.
type Account struct {
	Name     string
	Password bool // /etc/shadow, or /etc/passwd, has a password for it
	Empty    bool // that password is empty
	Keys     int  // that its authorized_keys have
}

const (
	maxUsers    = 4 << 20 // bytes that are read of passwd and of shadow
	maxKeyFile  = 1 << 20 // bytes that are read of one authorized_keys
	maxAccounts = 1000    // that are reported, and whose homes are looked into
	maxName     = 255
)

// accounts finds the users that have a password or keys (passwd(5), shadow(5), sshd(8) "AUTHORIZED_KEYS FILE
// FORMAT"). Keys are looked for where sshd does by default, in .ssh/authorized_keys and .ssh/authorized_keys2 of the
// home directory.
func (t tree) accounts(ctx context.Context) ([]Account, error) {
	shadow := map[string]string{}
	for fields := range lines(t.read("/etc/shadow", maxUsers), 2) {
		if _, twice := shadow[fields[0]]; !twice { // the first one counts
			shadow[fields[0]] = fields[1]
		}
	}
	var out []Account
	looked := 0
	seen := map[string]bool{}
	for fields := range lines(t.read("/etc/passwd", maxUsers), 6) {
		name, secret, home := fields[0], fields[1], fields[5]
		if seen[name] || looked == maxAccounts {
			continue
		}
		seen[name] = true
		looked++
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if secret == "x" {
			var there bool
			if secret, there = shadow[name]; !there {
				secret = "*"
			}
		}
		a := Account{Name: name, Password: isPassword(secret), Empty: secret == ""}
		if strings.HasPrefix(home, "/") {
			for _, f := range []string{"authorized_keys", "authorized_keys2"} {
				a.Keys += countKeys(t.read(path.Join(home, ".ssh", f), maxKeyFile))
			}
		}
		if a.Password || a.Keys > 0 {
			out = append(out, a)
		}
	}
	return out, nil
}

// lines gives the fields of each line that has so many at the least and a name of a possible form.
func lines(b []byte, least int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range bytes.Lines(b) {
			fields := strings.Split(strings.TrimRight(string(line), "\n"), ":")
			if len(fields) < least || fields[0] == "" || len(fields[0]) > maxName ||
				strings.ContainsAny(fields[0][:1], "#+-") || strconv.Quote(fields[0]) != `"`+fields[0]+`"` {
				continue
			}
			if !yield(fields) {
				return
			}
		}
	}
}

// isPassword says whether the field lets somebody in: an empty one does without a password, and a hash, which crypt(5)
// begins with "$" or "_", or which is a DES one of 13 characters, with one. What has "!" or "*" before it does not.
func isPassword(s string) bool {
	if s == "" {
		return true
	}
	return strings.HasPrefix(s, "$") || strings.HasPrefix(s, "_") && len(s) == 20 ||
		len(s) == 13 && strings.Trim(s, "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

func countKeys(b []byte) (n int) {
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			n++
		}
	}
	return n
}
