// Package state keeps what a stack's provider cannot be asked for: versions, addresses, what each server was created
// from, and secrets.
//
// Stacks is the directory of all stacks, and Directory that of one. To change a stack, call Directory.Lock, Load,
// OpenVault and NewRecord in this order. Each file is written whole and is durable before the step that depends on it:
//
//	DIR/NAME/state.json       0600  a State: versions, private addresses, what servers were created from, outputs
//	DIR/NAME/secrets.age      0600  generated secrets and secret outputs, encrypted (age-encryption.org/v1)
//	DIR/NAME/userdata/S.age   0600  user-data of server S, encrypted, because it has secrets in it
//	DIR/NAME/lock, holder.json      who works with the stack now (flock)
//	DIR/NAME/logs/RUN/NN-STAGE.log  log of each stage, for the newest ten runs
//	IDENTITY                  0600  the age identity that decrypts these files, created once
//
// A State holds no secret. Whether a resource exists is never read from it: that is the provider's answer
// (provider.Provider.List).
package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
)

// Version is the version of the format of State that this griddle reads and writes.
const Version = 1

// MaxSize is the largest state file, in bytes; 5,000 servers need a fifth of it.
const MaxSize = 16 << 20

// State is what is kept of one stack. It has no secret in it.
type State struct {
	Version  int               `json:"version"`
	Stack    string            `json:"stack"`
	Provider string            `json:"provider"` // Features.Name
	Options  map[string]string `json:"options,omitempty"`
	Admin    string            `json:"admin,omitempty"`
	SSH      uint16            `json:"ssh,omitempty"`
	Parallel int               `json:"parallel,omitempty"`
	Server   int               `json:"server,omitempty"` // seconds; see stack.Settings
	Call     int               `json:"call,omitempty"`   // seconds

	Roles     []Role            `json:"roles,omitempty"`     // in the order in which they are brought up
	Scale     map[string]int    `json:"scale,omitempty"`     // counts of roles in place of the declared ones
	Images    map[string]Image  `json:"images,omitempty"`    // by reference@arch
	Firewalls map[string]string `json:"firewalls,omitempty"` // digest of the rules that each has, by name
	// addresses and volumes that were created, such as "volume web-1.data", sorted
	Kept    []string           `json:"kept,omitempty"`
	Servers map[string]*Server `json:"servers,omitempty"` // by name
	// by role and name; the value is empty if it is a secret
	Outputs map[string]map[string]string `json:"outputs,omitempty"`
}

// Role is what starting and stopping servers must know of a role.
type Role struct {
	Name string `json:"name"`
	Min  int    `json:"min"`
	Max  int    `json:"max"`
}

// Image is the version that a reference stands for in this stack, until an upgrade changes it.
type Image struct {
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"` // of what was uploaded
}

// Phase is how far the creation of a server is.
type Phase string

// The phases.
const (
	Reserved Phase = "reserved" // has a private address
	Creating Phase = "making"   // Origin and Spec say what it is created from; the provider may have it
	Booted   Phase = "booted"   // its first boot is complete
)

// Server is one server.
type Server struct {
	Role     string     `json:"role,omitempty"`
	Private  netip.Addr `json:"private"`
	Phase    Phase      `json:"phase"`
	Firewall string     `json:"firewall,omitempty"` // name of the one that it has
	Spec     *Spec      `json:"spec,omitempty"`     // nil if it was adopted: it is not known
	Origin   *Origin    `json:"made,omitempty"`
}

// Spec is the part of a declaration that only a new server can have. If it changes, the server is replaced.
type Spec struct {
	Image   string     `json:"image"` // the version
	Arch    string     `json:"arch"`
	Size    string     `json:"size"`
	Disk    int64      `json:"disk,omitempty"`
	Private netip.Addr `json:"private"`
	UEFI    bool       `json:"uefi,omitempty"`
	// digest of the declaration of its user-data; the values of its references are not in it
	UserData string `json:"userData"`
}

// Origin is what the provider was asked to create a server from.
type Origin struct {
	Image   string    `json:"image"`             // ID
	Key     string    `json:"key,omitempty"`     // ID
	Network string    `json:"network,omitempty"` // ID
	Want    string    `json:"want"`              // provider.Server.Fingerprint
	At      time.Time `json:"at"`
}

// Parse reads what State.Encode wrote. Unknown fields and impossible values are errors: a truncated or edited file must
// not decide what happens to servers.
func Parse(b []byte) (*State, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("reading the state: %d bytes are more than %d", len(b), MaxSize)
	}
	var v struct{ Version int }
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("reading the state: %w", place(b, err))
	}
	if v.Version != Version {
		return nil, fmt.Errorf("reading the state: it has version %d, and this griddle knows %d", v.Version, Version)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	s := new(State)
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("reading the state: %w", place(b, err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the state: something follows it")
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	return s, nil
}

// place says on which line a fault of JSON is.
func place(b []byte, err error) error {
	at := int64(-1)
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	} else if errors.As(err, &wrong) {
		at = wrong.Offset
	}
	if at < 0 || at > int64(len(b)) {
		return err
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(b[:at], []byte("\n")), err)
}

func (s *State) validate() error {
	var faults []error
	bad := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if !label(s.Stack) {
		bad("%q is not a valid name of a stack", s.Stack)
	}
	if s.Parallel < 0 || s.Parallel > 64 || s.Server < 0 || s.Call < 0 {
		bad("parallel %d, server %d or call %d is out of range", s.Parallel, s.Server, s.Call)
	}
	for role, n := range s.Scale {
		if n < 0 || n > 10000 {
			bad("role %q has %d servers", role, n)
		}
	}
	for name, v := range s.Servers {
		switch {
		case !label(name):
			bad("%q is not a valid name of a server", name)
		case v == nil:
			bad("server %s is empty", name)
		case v.Phase != Reserved && v.Phase != Creating && v.Phase != Booted:
			bad("server %s: phase %q is unknown", name, v.Phase)
		case v.Private.IsValid() && !v.Private.Is4():
			bad("server %s: %v is not an IPv4 address", name, v.Private)
		}
	}
	for ref, i := range s.Images {
		if i.Version == "" && i.Digest == "" {
			bad("image %s has neither version nor digest", ref)
		}
	}
	return errors.Join(faults...)
}

// Encode gives the file's content.
func (s *State) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("writing the state: %w", err)
	}
	return append(b, '\n'), nil
}

// label says whether s can be a directory's and a server's name: a DNS label (RFC 1123 section 2.1) in lower case.
func label(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
