// Package secure writes the user-data that makes a server secure at its first boot, by cloud-init alone.
//
// Call Server.Parts, and merge what it returns before all other parts. After first boot:
//
//   - ssh takes keys only, from the declared users and Guests, at the declared port, be sshd a service or
//     socket-activated; root cannot log in, no one by a password, and every password in /etc/shadow is locked;
//   - nftables drops what is not declared, IPv4 and IPv6 alike: loaded before anything of the system but cloud-init
//     itself at first boot, and before the network at each boot after it;
//   - the users are there with their keys, and those with Sudo may become root without a password;
//   - the root filesystem fills its disk; each volume is a blank disk that was formatted, or the disk that an earlier
//     system of the server formatted, and disks with data are as they were (scripts/data-disk.sh has the rules);
//   - Report has "done" or "failed" and the reasons, and the console a line that starts with Marker.
//
// The system must have systemd, cloud-init 22.4 or later, OpenSSH, sudo, dbus and nftables; locales, ca-certificates,
// e2fsprogs and a time service where they are needed. Needs says what to look for before; what is missing is among the
// reasons of a failure.
//
// What user-data parts after these say wins, as everywhere. The report still checks sshd, passwords and firewall.
package secure

import (
	"net/netip"

	"griddle/appliance/firewall"
)

// Where a server tells how its first boot went.
const (
	// Report is a file: done or failed in its first line, then one reason a line. It is there when cloud-init is done.
	Report = "/var/lib/griddle/first-boot"
	// Marker begins the console's line, which continues with done or failed, a colon and the host name.
	Marker = "griddle: first boot "
)

// Server is what is to be secured.
type Server struct {
	Hostname string // a DNS label
	Admin    string // one of Users, with Sudo
	Users    []User
	Guests   []string `json:"-"` // users that later parts of the user-data make, with keys: sshd lets them in too
	SSH      SSH
	// sshd's ed25519 private key, PEM; empty: made on the server. Anyone who reads the user-data can read it
	HostKey string
	// sshd's keys that are there before the first start stay; otherwise they are the template's, and are deleted
	KeepHostKeys bool `json:"-"`

	Ports   []Port         // what is let in besides ssh
	Inside  []netip.Prefix // networks from which everything is let in
	Forward bool           // leave forwarded packets alone, as hosts of containers need it; else they are dropped

	Volumes []Volume

	NTP    []string // host names or addresses; empty: as the image has it
	DNS    []netip.Addr
	Zone   string // such as Europe/Berlin; empty: the image's
	Locale string // such as de_DE.UTF-8; empty: the image's
	Proxy  string // URL of an HTTP proxy, without a password: everyone on the server can read it
	CA     string // PEM certificates that are trusted besides the system's
}

// User is a login.
type User struct {
	Name   string
	Keys   []string // lines of authorized_keys
	Sudo   bool     // may become root without a password
	Groups []string
}

// SSH is how the server is logged in to.
type SSH struct {
	Port uint16         // 0: 22
	From []netip.Prefix // who may; empty: everyone
}

// Port is a port that lets packets in.
type Port = firewall.Port

// Volume is a data disk.
type Volume struct {
	Name  string // its filesystem's label is Label(Name)
	Size  int64  // bytes; a blank disk of exactly this size is taken before a larger one
	Mount string // where it is mounted
}
