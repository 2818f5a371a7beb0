// Package sshd makes the configuration of the ssh server in the secure state, for servers in clouds and for machines.
//
// Write Secure to File, and Socket to a drop-in of the socket unit where the port is not 22. The package is pure.
//
// Sources: the manual pages sshd_config(5) and systemd.socket(5).
package sshd

import (
	"fmt"
	"strings"
)

// File is the configuration's file. It is the first of its folder, and of most keywords the first value wins.
const File = "/etc/ssh/sshd_config.d/00-griddle.conf"

// Secure lets in users by their keys alone, at port. Other users, those of the image among them, are not let in.
func Secure(port uint16, users []string) string {
	return fmt.Sprintf(`Port %d
PermitRootLogin no
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
AllowUsers %s
`, port, strings.Join(users, " "))
}

// Socket makes systemd listen at port and no other, where it starts sshd by a socket.
func Socket(port uint16) string {
	return fmt.Sprintf("[Socket]\nListenStream=\nListenStream=%d\n", port)
}
