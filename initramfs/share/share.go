// Package share is how an installed machine has the shares of file servers that people added to it: a line of
// /etc/fstab with the option Mark for each, and in Dir a file with user and password, mode 0600, where there is one.
//
//	//files.example.org/lab /srv/lab cifs _netdev,nofail,x-griddle.share,credentials=/etc/griddle/shares/srv-lab 0 0
//
// Call Folder for a line. Source: fstab(5).
package share

import (
	"slices"
	"strings"
)

// Dir has the passwords. It has no slash before it.
const Dir = "etc/griddle/shares"

// Mark is the option by which a line is ours: mount(8) passes over options with x-.
const Mark = "x-griddle.share"

// Escape writes a folder as fstab(5) has it; other characters that it escapes are not in the folders of shares.
func Escape(folder string) string { return strings.ReplaceAll(folder, " ", `\040`) }

// Folder is the folder that a line of /etc/fstab mounts something on, "" for a line that mounts nothing, and whether
// the line is a share.
func Folder(line string) (folder string, ours bool) {
	f := strings.Fields(line)
	if len(f) < 4 || strings.HasPrefix(f[0], "#") {
		return "", false
	}
	return strings.ReplaceAll(f[1], `\040`, " "), slices.Contains(strings.Split(f[3], ","), Mark)
}
