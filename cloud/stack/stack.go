// Package stack reads the file that declares a stack: the servers that should exist, their images, and how to reach
// them.
//
// Call Parse. What it returns is resolved: defaults, profiles and roles are merged into each server, counts are
// expanded to names, and every reference was found. References to secrets and to other servers' values stay as they
// are written, ${secret.NAME} and ${role.NAME.…}; what they stand for is only known while the stack is brought up.
//
// If several places describe the same server, the last of these wins:
//
//	defaults
//	profiles    in the order in which role, group and server name them, those they inherit from first, each once
//	role
//	group
//	server
//
// A list, such as ports, replaces the one before as a whole; userData alone is added, that of the stack itself first.
// References in config and script of userData are always replaced, those in the content of write where expand is true.
//
// A file is YAML with anchors and aliases, within the bounds of package yamltree.
//
// Parse does no I/O: the same bytes give the same Stack, with every fault listed at once, each with its line and
// column.
package stack

import (
	"net/netip"
	"time"

	"griddle/cloud/yamltree"
)

// Stack is a resolved stack file.
type Stack struct {
	Name     string            // a DNS label of at most 30 characters
	Provider string            // qemu, lxd, openstack, ec2
	Options  map[string]string // the provider's own settings: region, cloud, url, network, …; never a secret
	Settings Settings
	Network  Network
	Admin    string // the user that griddle logs in as
	Keys     []Key  // of Admin, and of every user that names none
	Users    []User // Admin is among them
	SSH      SSH
	Secrets  []Secret // by name
	UserData []Part   // for every server, before its role's
	Roles    []Role   // in the order in which they are brought up: each after those of its After
	Servers  []Server // in the order of Roles, then as declared or numbered; those without a role last

	numbered map[string]Server         // what Scaled makes a role's servers from
	places   map[string]yamltree.Place // of the values in the file, by their path
	file     string                    // as given to Parse
}

// Settings are how servers and griddle itself find their way.
type Settings struct {
	Proxy    string   // URL for HTTP and HTTPS of servers; griddle itself takes it from its environment
	CA       string   // path, relative to the stack file, of PEM certificates that servers and griddle trust too
	NTP      []string // host names or addresses
	DNS      []netip.Addr
	Zone     string // time zone of the servers, such as Europe/Berlin
	Locale   string
	Parallel int           // servers that are made side by side, 1 to 64; default 4
	Server   time.Duration // how long one server may take from being made until cloud-init is done; default 15 min
	Call     time.Duration // how long one call of the provider may take with all its repetitions; default 5 min
}

// Network is the stack's private network.
type Network struct {
	Prefix   netip.Prefix // default 10.77.0.0/24
	External string
}

// Key is an ssh public key: exactly one of the two is set.
type Key struct {
	Line string // of authorized_keys
	File string // path of a file with such lines; relative to the stack file, or with ~/ for the home directory
}

// User is a login on every server.
type User struct {
	Name   string
	Keys   []Key // empty: Stack.Keys
	Sudo   bool  // may become root without a password (there are no passwords)
	Groups []string
}

// SSH is how servers are logged in to.
type SSH struct {
	Port uint16         // default 22
	From []netip.Prefix // who may; default everyone
}

// Secret is where a secret value is found: exactly one of its sources is set.
type Secret struct {
	Name     string
	Env      string // a variable of griddle's environment
	File     string // a file that no one else can read by its mode; decrypted by Identity where it is an age file
	Identity string // an age identity file
	Generate int    // this many random characters of [A-Za-z0-9], made once and kept, encrypted, with the state
}

// Part is one piece of user-data: exactly one of its contents is set.
type Part struct {
	Config any        // a cloud-config mapping: map[string]any, []any, string, int64, uint64, float64, bool, nil
	Script string     // a shell script, starting with #!
	Path   string     // a file with one of these; relative to the stack file
	Write  *WriteFile // a file on the server
	At     yamltree.Place
}

// WriteFile is a file that first boot leaves on the server, byte for byte.
type WriteFile struct {
	Path    string // on the server, absolute
	Content string // used as it is, except that ${…} is replaced where Expand is set
	Source  string // path of a local file instead; relative to the stack file
	Owner   string // user:group; default root:root
	Mode    uint32 // permission bits; default 0644
	Expand  bool
}

// Role is a group of servers that are alike.
type Role struct {
	Name     string
	After    []string // roles that must be up before
	Min, Max int      // bounds of scale; the count declared is between them
	Count    int      // numbered servers: NAME-1 to NAME-Count
	Outputs  []Output
	At       yamltree.Place
}

// Output is a value that servers of a role give to roles after it: the content of a file, without a trailing line
// break, read over ssh when the server is up; at most 64 KiB. ${role.ROLE.outputs.NAME} is that of its first server.
type Output struct {
	Name   string
	File   string
	Secret bool // never shown, and kept encrypted
}

// Port is a port that a server lets in.
type Port struct {
	Protocol string         // tcp, udp or icmp
	From, To uint16         // both 0 for icmp
	Source   []netip.Prefix // empty: everyone
}

// Volume is a data disk that outlives its server.
type Volume struct {
	Name  string // within the server; "data" by default
	Size  int64  // bytes, a multiple of 1 GiB
	Type  string
	Mount string // where first boot mounts it (the largest blank one is formatted, one with data never); default /srv
}

// Server is one declared server with all that it inherits.
type Server struct {
	Name     string     // a DNS label, unique in the stack
	Role     string     // empty for servers declared by themselves without one
	Number   int        // of NAME-Number in its role; 0 for one with its own name
	Image    string     // a reference into the catalog: web:stable
	Arch     string     // amd64, arm64
	Size     string     // the provider's name of a size
	Disk     int64      // bytes of the root disk; 0 for the image's own
	Address  netip.Addr // wanted in the network; invalid for any
	Public   bool       // has a public address of its own
	UEFI     bool
	Volumes  []Volume
	Ports    []Port // besides ssh
	UserData []Part // of stack, then profile, role, group, server; later ones win
	At       yamltree.Place
}
