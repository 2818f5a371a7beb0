// Package setting is what one machine gets beside its image: its hostname, users, keys, network, time, files, hooks and
// the program that configures it. The same settings are for machines and for servers in clouds.
//
// Decode one document for each source of settings (image, site, machine), call Merge with them, the strongest last, and
// Resolve for the machine. Package initramfs/setting writes the result into a root; cloud servers get it as user-data.
//
// # How documents are merged
//
// Mappings are merged key by key, and of two values the later wins. A null takes away what earlier documents say. Lists
// are merged by what they hold:
//
//	users, network.interfaces, hooks   by name; for users and interfaces the keys of one entry are merged
//	files                              by path, the later file whole
//	keys and groups of a user,         each value once, in the order in which they come
//	root.keys, ca, args, keep
//	all others                         the later list alone
//
// An entry with "absent": true takes the entry with its name or path away.
//
// # Secrets
//
// Password hashes, the passphrase of the disks, user-data, the data of the configurator, and each file and hook with
// "secret": true are secret. Public returns settings without them. Passwords in plain text are refused.
//
// # What it guarantees
//
// The package is pure: it reads no disk, network or clock, and no YAML. The same documents give the same settings.
// Input may be hostile: it is limited by MaxDocument, and every mistake is an error that names the place, such as
// users[ada].keys[0].
//
// Format: JSON. Key "version" is Version; a document without it has version 1.
package setting

import (
	"time"
)

// Version is the version of the document that this package reads and writes.
const Version = 1

// MaxDocument is the limit for one document as JSON, and for the merged settings, in bytes.
const MaxDocument = 256 << 10

// Settings is what one machine gets. A zero value leaves what the image has.
type Settings struct {
	Version int `json:"version,omitempty"` // Version, or 0 for 1

	// Hostname is a DNS label. Before Resolve it may have {name}, {serial} and {mac} in it.
	Hostname string `json:"hostname,omitempty"`
	Domain   string `json:"domain,omitempty"` // DNS domain, "example.org"; with it the full name is in /etc/hosts
	Zone     string `json:"zone,omitempty"`   // time zone, "Europe/Berlin"
	Locale   string `json:"locale,omitempty"` // "de_DE.UTF-8"
	Keymap   string `json:"keymap,omitempty"` // console keymap, "de"

	Root  Root   `json:"root,omitzero"`
	Users []User `json:"users,omitempty"`
	SSH   SSH    `json:"ssh,omitzero"`

	Network Network  `json:"network,omitzero"`
	NTP     []string `json:"ntp,omitempty"`   // hostnames or addresses of time servers
	Proxy   string   `json:"proxy,omitempty"` // URL of an HTTP proxy, without a password
	CA      []string `json:"ca,omitempty"`    // PEM certificates that the system trusts in addition

	Files     []File     `json:"files,omitempty"`
	Hooks     []Hook     `json:"hooks,omitempty"` // in this order
	Configure *Configure `json:"configure,omitempty"`

	Disks Disks `json:"disks,omitzero"`

	Updates Updates `json:"updates,omitzero"`
	// Keep are files and folders that stay over updates, absolute paths, in addition to what each machine keeps: see
	// package initramfs/pool/carry.
	Keep []string `json:"keep,omitempty"`

	Args []string `json:"args,omitempty"` // kernel arguments, see job.KernelArg
	Swap Size     `json:"swap,omitempty"` // size of the swap file in bytes, 1 MiB or more; 0 for none

	// UserData is for an image with cloud-init, as cloud-init reads it; it is added to what these settings become.
	UserData string `json:"userData,omitempty"`
}

// Root is how root logs in.
type Root struct {
	// PasswordHash is in the format of crypt(5), or "!" for none. "" leaves what the image has.
	PasswordHash string   `json:"passwordHash,omitempty"`
	Keys         []string `json:"keys,omitempty"` // lines of authorized_keys
}

// User is a login. A user that the image has is changed, another one is made.
type User struct {
	Name         string   `json:"name"`
	FullName     string   `json:"fullName,omitempty"`
	UID          int      `json:"uid,omitempty"`          // 1000 to 59999; 0 for the next free one
	PasswordHash string   `json:"passwordHash,omitempty"` // as in Root; a new user without one has no password
	Keys         []string `json:"keys,omitempty"`         // lines of authorized_keys
	Groups       []string `json:"groups,omitempty"`       // supplementary groups; missing ones are made
	Sudo         bool     `json:"sudo,omitempty"`         // may become root without a password
	Shell        string   `json:"shell,omitempty"`        // "" for /bin/bash
}

// SSH is how the machine is logged in to by ssh.
type SSH struct {
	Port          int       `json:"port,omitempty"`          // 0 for 22
	RootLogin     RootLogin `json:"rootLogin,omitempty"`     // "" leaves what the image has
	PasswordLogin *bool     `json:"passwordLogin,omitempty"` // nil leaves what the image has
	// Secure asks for the secure state: keys only, no login of root, a firewall that lets in ssh alone.
	Secure bool `json:"secure,omitempty"`
}

// RootLogin says how root may log in by ssh.
type RootLogin string

// The values of RootLogin.
const (
	RootNever RootLogin = "no"
	RootKeys  RootLogin = "keys" // by key, not by password
	RootYes   RootLogin = "yes"
)

// File is one file that the machine gets.
type File struct {
	Path    string `json:"path"`              // absolute, in its shortest form
	Content string `json:"content,omitempty"` // text
	Base64  []byte `json:"base64,omitempty"`  // content that is not text; Content is then empty
	Owner   string `json:"owner,omitempty"`   // name or number; "" for root
	Group   string `json:"group,omitempty"`   // name or number; "" for root
	Mode    Mode   `json:"mode,omitempty"`    // 0 for 0644, for a secret file 0600
	Secret  bool   `json:"secret,omitempty"`
}

// Bytes is the content of the file.
func (f File) Bytes() []byte {
	if f.Base64 != nil {
		return f.Base64
	}
	return []byte(f.Content)
}

// Permissions are the permission bits of the file, the default included.
func (f File) Permissions() Mode {
	switch {
	case f.Mode != 0:
		return f.Mode
	case f.Secret:
		return 0o600
	}
	return 0o644
}

// Hook is a script that runs in the new root before its first start.
type Hook struct {
	Name    string   `json:"name"`              // letters, digits, "-", "_" and "."
	Script  string   `json:"script"`            // starts with #!
	Timeout Duration `json:"timeout,omitempty"` // 0 for DefaultTimeout
	Skip    bool     `json:"skip,omitempty"`    // a failure does not stop an install without a person
	Secret  bool     `json:"secret,omitempty"`  // the script has secrets in it
}

// DefaultTimeout is how long a hook may take.
const DefaultTimeout = 10 * time.Minute

// Limit is how long the hook may take, the default included.
func (h Hook) Limit() time.Duration {
	if h.Timeout == 0 {
		return DefaultTimeout
	}
	return time.Duration(h.Timeout)
}

// Configure hands the machine over to a configuration program. It runs at each boot, and again after each Every.
type Configure struct {
	Tool   Tool     `json:"tool"`
	Git    string   `json:"git,omitempty"`    // URL of a repository, or the path of a git bundle; or
	Path   string   `json:"path,omitempty"`   // an absolute path of a directory on the machine
	Branch string   `json:"branch,omitempty"` // of the repository; "" for its default
	Entry  string   `json:"entry,omitempty"`  // "" for site.pp or local.yml
	Every  Duration `json:"every,omitempty"`  // 0: at boot alone

	// Data is Hiera data or extra variables.
	Data map[string]any `json:"data,omitempty"`
}

// Disks is what the machine needs to know of its disks beside their layout.
type Disks struct {
	// Passphrase opens what the layout of the disks has encrypted (layout.Passphrase): MinPassphrase to MaxPassphrase
	// printable characters.
	Passphrase string `json:"passphrase,omitempty"`
}

// Updates is how the machine gets newer versions of its image.
type Updates struct {
	// Nightly has the machine ask for the newest version each night. nil leaves what the image has.
	Nightly *bool `json:"nightly,omitempty"`
	// Server says whether the server must answer before a new root is good. "" leaves what the image has.
	Server Need `json:"server,omitempty"`
}

// Need says whether something must be there.
type Need string

// The values of Need.
const (
	Required Need = "required"
	Optional Need = "optional"
)

// Tool is a configuration program.
type Tool string

// The values of Tool.
const (
	Puppet  Tool = "puppet"  // puppet apply, without a master
	Ansible Tool = "ansible" // ansible-pull
)
