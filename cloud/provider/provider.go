// Package provider says what a hypervisor or a cloud must be able to do so that stacks of servers can be created there.
//
// A stack is made of resources of a few kinds, each known by its kind and its name within the stack. Everything that a
// provider makes has the stack's name, the kind and the name where the provider keeps labels (tags, metadata, user
// configuration, a file beside the disk). Those labels, and not any state file, say what is ours: List finds them
// again after a lost answer, a kill or a lost file, and Remove never touches what does not have them.
//
// Call Features first, then List; Ensure in the order of Kinds, Remove in the opposite order. Every
// implementation passes providertest.Run.
package provider

import (
	"context"
	"io"
	"net/netip"
)

// Kind is a kind of resource.
type Kind string

// The kinds, in the order in which they are made: each needs those before it alone.
const (
	KindImage    Kind = "image"    // a bootable system, shared by all stacks of a provider and region
	KindKey      Kind = "key"      // an ssh public key that the provider knows
	KindNetwork  Kind = "network"  // a private network with one IPv4 prefix, and its way out
	KindFirewall Kind = "firewall" // which ports of a server can be reached from where (a security group)
	KindAddress  Kind = "address"  // a public address that outlives the server
	KindVolume   Kind = "volume"   // a data disk that outlives the server
	KindServer   Kind = "server"
)

// Kinds returns all kinds in the order in which they are made.
func Kinds() []Kind {
	return []Kind{KindImage, KindKey, KindNetwork, KindFirewall, KindAddress, KindVolume, KindServer}
}

// The labels of every resource, spelled like this where the provider allows it.
const (
	LabelStack  = "griddle-stack"  // the stack; absent on images
	LabelKind   = "griddle-kind"   // a Kind
	LabelName   = "griddle-name"   // unique within the stack and the kind
	LabelWant   = "griddle-want"   // Want.Fingerprint at the time it was made
	LabelDigest = "griddle-digest" // of an image: Image.Digest
)

// State is what a resource is doing.
type State string

// The states. Only servers know Stopped.
const (
	Pending  State = "pending"  // being made, started or stopped: ask again
	Ready    State = "ready"    // can be used; a server runs
	Stopped  State = "stopped"  // a server is there and does not run
	Failed   State = "failed"   // the provider gave it up; Reason says why. It can be removed
	Removing State = "removing" // will be gone: ask again
)

// Resource is one thing at the provider.
type Resource struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`            // within the stack; of an image, the one that Image.Name gave
	Stack  string `json:"stack,omitempty"` // empty for images
	ID     string `json:"id"`              // the provider's own, unique in its region
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // why State is Failed, in the provider's words
	Want   string `json:"want,omitempty"`   // Want.Fingerprint at the time it was made; empty where it was lost
	Digest string `json:"digest,omitempty"` // of images

	// Private is a server's address in its stack's network; Public is where it is reached from here (an address's own,
	// or the forwarded one of a hypervisor). Either can be invalid while State is Pending.
	Private netip.Addr `json:"private,omitzero"`
	Public  netip.Addr `json:"public,omitzero"`
	SSHPort uint16     `json:"sshPort,omitempty"` // at Public, where it is not the server's own (a forwarded port)
	// Forwards are the server's other ports that are reached at Public under another number.
	Forwards []Forward `json:"forwards,omitempty"`

	Size  int64  `json:"size,omitempty"`  // of volumes and images, bytes
	Bound string `json:"bound,omitempty"` // ID of the server that an address or a volume belongs to now
	Image string `json:"image,omitempty"` // of servers: ID of the image they were made from
}

// Forward is a port of a server that a hypervisor forwards.
type Forward struct {
	Protocol string `json:"protocol"` // tcp or udp
	Port     uint16 `json:"port"`     // the server's
	Public   uint16 `json:"public"`   // at Resource.Public
}

// KindName identifies a resource within its stack.
type KindName struct {
	Kind Kind
	Name string
}

// Named identifies the resource of kind k with that name.
func (k Kind) Named(name string) KindName { return KindName{k, name} }

// KindName identifies r within its stack.
func (r Resource) KindName() KindName { return KindName{r.Kind, r.Name} }

// Want is what a resource is to be: *Image, *Key, *Network, *Firewall, *Address, *Volume or *Server.
type Want interface {
	// Identity says which resource is meant.
	Identity() (kind Kind, stack, name string)
	// Fingerprint is a digest, 64 lower-case hex digits, of what cannot be changed in a resource that is there. Where
	// it differs from Resource.Want, the resource must be replaced. What Ensure changes in place (a firewall's rules,
	// a server's address and volumes) is not in it.
	Fingerprint() string
}

// Image is a bootable disk image, or where Features.Format says so a container's tree.
type Image struct {
	Name    string // such as web-20261120.1-amd64, at most 60 of [a-z0-9.-]
	Digest  string // "sha256:" and 64 hex digits, of what Open gives: one image in a region has it, whatever its name
	Format  Format
	Arch    string // amd64, arm64
	Size    int64  // bytes that Open gives
	Virtual int64  // bytes of the disk inside; for Format Tree 0
	BIOS    bool   // boots by BIOS
	UEFI    bool   // boots by UEFI
	User    string // the login that its cloud-init makes by default; may be empty
	// Open gives the bytes. It is called once for each attempt; the provider closes what it got.
	Open func() (Contents, error)
}

// Contents is the bytes of an image.
type Contents interface {
	io.ReaderAt
	io.Closer
}

// Format is how an image's bytes are to be read.
type Format string

// The formats that a provider can ask for in Features.Format.
const (
	Raw   Format = "raw"   // the sectors of the disk; holes in a sparse file
	QCOW2 Format = "qcow2" // QEMU's, compressed by zlib
	Tree  Format = "tree"  // an uncompressed tar of the root filesystem, for containers
)

// Key is an ssh public key.
type Key struct {
	Stack, Name string
	Public      string // one line of authorized_keys
}

// Network is a private network of a stack.
type Network struct {
	Stack, Name string
	Prefix      netip.Prefix // IPv4, /16 to /28; the first address is the gateway's
	DNS         []netip.Addr // empty: the provider's own
	// provider's name of what leads out (an OpenStack external network, a bridge of the host); may be empty
	External string
}

// Rule lets packets in.
type Rule struct {
	Protocol string       // tcp, udp or icmp
	From, To uint16       // ports, inclusive; both 0 for icmp
	Source   netip.Prefix // who may; 0.0.0.0/0 or ::/0 for everyone
}

// Firewall is what may reach a server. What it does not list is refused, packets within the stack's
// network excepted; everything may go out. Ensure brings the rules of one that is there to these.
type Firewall struct {
	Stack, Name string
	Rules       []Rule
}

// Address is a public address.
type Address struct {
	Stack, Name string
	External    string // as Network.External
}

// Volume is a blank data disk. Its bytes outlive every server that it was bound to; Ensure never
// shrinks or rewrites one.
type Volume struct {
	Stack, Name string
	Size        int64  // bytes, a multiple of 1 GiB
	Type        string // the provider's; may be empty
	// absolute path at which a container finds it; machines see a disk and ignore this; empty for /srv
	Mount string
}

// Server is one machine. Those of its resources that outlive it are named by ID.
type Server struct {
	Stack, Name string     // the name is also its host name: a DNS label
	Role        string     // for people who look at the provider's own console
	Image       string     // ID
	Size        string     // a name that Sizes lists
	Disk        int64      // bytes of the root disk; 0 for the image's or the size's own
	Key         string     // ID; may be empty
	Network     string     // ID
	Private     netip.Addr // the wanted address in the network; invalid for any
	Firewall    string     // ID; may be empty
	Address     string     // ID of its public address; may be empty
	Volumes     []string   // IDs, in the order in which the server sees them
	UserData    []byte     // cloud-init's; at most Features.UserData bytes
	SSH         uint16     // the port on which its ssh server listens, for providers that forward it; 0 for 22
	UEFI        bool       // boot by UEFI where both are possible
}

// Action is what Control does to a server.
type Action string

// The actions. Stop asks the system to shut down, and takes its power after the provider's time-out; Reboot likewise.
const (
	Start  Action = "start"
	Stop   Action = "stop"
	Reboot Action = "reboot"
)

// Features is what a provider can do. It is known without a request.
type Features struct {
	Name     string          // qemu, lxd, openstack, ec2
	Format   Format          // which image it takes
	UserData int             // most bytes of user-data (before any encoding of the provider's)
	Lacks    map[Kind]string // kinds that it has no notion of, with the reason: Ensure of one fails with ErrUnsupported
}

// Size is a size of server that can be had.
type Size struct {
	Name   string `json:"name"`
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memory"`         // bytes
	Disk   int64  `json:"disk,omitempty"` // bytes of the root disk; 0 where it is free
}

// Provider makes, finds and removes resources in one region. It can be called by several goroutines at once.
//
// Errors can be tested with errors.Is for ErrCredentials, ErrQuota, ErrTaken, ErrTemporary, ErrNotFound, ErrUnsupported
// and ErrInvalid; all else is final too. No error and no log line holds a secret.
type Provider interface {
	Features() Features

	// List returns what has the stack's labels, in the order of Kinds and then by name; for the empty name every
	// image that was made by Ensure, whatever stack asked for it. What is being removed may still be in it.
	List(ctx context.Context, stack string) ([]Resource, error)

	// Ensure makes what w describes, unless a resource of its kind, stack and name is there already: that one is
	// returned, with what can be changed in place changed. Called again after an error or a kill it makes nothing
	// twice, also where the earlier call did its work and its answer was lost. It does not wait: the resource may be
	// Pending. A resource whose Want differs from w's Fingerprint is returned as it is.
	// ErrTaken says that the name is held by something that does not have our labels.
	Ensure(ctx context.Context, w Want) (Resource, error)

	// Remove begins to remove r, which List or Ensure returned; nil for what is gone already. Removing a server leaves
	// its addresses and volumes alone. What does not have the labels of r is left alone and is an ErrTaken.
	Remove(ctx context.Context, r Resource) error

	// Control starts, stops or reboots a server; nil for one that is in that state already. It does not wait.
	Control(ctx context.Context, r Resource, a Action) error

	// Sizes lists what Server.Size may say.
	Sizes(ctx context.Context) ([]Size, error)
}

// Consoler is a Provider that can show what a server wrote to its serial console.
type Consoler interface {
	// Console returns the last bytes, at most 64 KiB.
	Console(ctx context.Context, r Resource) ([]byte, error)
}
