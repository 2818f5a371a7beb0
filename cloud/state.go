package cloud

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

// StateVersion is the version of State's form that this griddle reads and writes.
const StateVersion = 1

// MaxState is how long a state file may be, in bytes: 5,000 servers have a fifth of it.
const MaxState = 16 << 20

// State is what of a stack the provider does not keep. It holds no secret.
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

	Roles     []RoleState                  `json:"roles,omitempty"`     // in the order in which they are brought up
	Scale     map[string]int               `json:"scale,omitempty"`     // counts of roles in place of the declared ones
	Images    map[string]ImageState        `json:"images,omitempty"`    // by reference@arch
	Firewalls map[string]string            `json:"firewalls,omitempty"` // digest of the rules last given, by name
	Kept      []string                     `json:"kept,omitempty"`      // addresses and volumes that were made, such as "volume web-1.data", in order
	Servers   map[string]*ServerState      `json:"servers,omitempty"`   // by name
	Outputs   map[string]map[string]string `json:"outputs,omitempty"`   // that are no secrets, by role and name
}

// RoleState is what starting and stopping must know of a role.
type RoleState struct {
	Name string `json:"name"`
	Min  int    `json:"min"`
	Max  int    `json:"max"`
}

// ImageState is the version that a reference stands for in this stack, until Upgrade moves it.
type ImageState struct {
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"` // of what was uploaded
}

// Phase is how far a server has come.
type Phase string

// The phases.
const (
	Reserved Phase = "reserved" // has a private address
	Making   Phase = "making"   // Made and Spec say what it is made from; the provider may have it
	Booted   Phase = "booted"   // its first boot is complete
)

// ServerState is one server.
type ServerState struct {
	Role     string     `json:"role,omitempty"`
	Private  netip.Addr `json:"private"`
	Phase    Phase      `json:"phase"`
	Firewall string     `json:"firewall,omitempty"` // name of the one that it was given
	Spec     *Spec      `json:"spec,omitempty"`     // nil where it was adopted: nobody knows
	Made     *Made      `json:"made,omitempty"`
}

// Spec is what a declaration says that only a new server can have. Where it differs, the server is replaced.
type Spec struct {
	Image    string     `json:"image"` // the version
	Arch     string     `json:"arch"`
	Size     string     `json:"size"`
	Disk     int64      `json:"disk,omitempty"`
	Private  netip.Addr `json:"private"`
	UEFI     bool       `json:"uefi,omitempty"`
	UserData string     `json:"userData"` // Cloud.Declared, or the SHA-256 of it with its references left as they are: a new value is no new declaration
}

// Made is what the provider was asked for.
type Made struct {
	Image   string    `json:"image"`             // ID
	Key     string    `json:"key,omitempty"`     // ID
	Network string    `json:"network,omitempty"` // ID
	Want    string    `json:"want"`              // provider.Server.Fingerprint
	At      time.Time `json:"at"`
}

// ParseState reads what State.Encode wrote. Unknown fields and impossible values are errors: a file that was cut or edited must
// not decide over servers.
func ParseState(b []byte) (*State, error) {
	if len(b) > MaxState {
		return nil, fmt.Errorf("reading the state: %d bytes are more than %d", len(b), MaxState)
	}
	var v struct{ Version int }
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("reading the state: %w", place(b, err))
	}
	if v.Version != StateVersion {
		return nil, fmt.Errorf("reading the state: it has version %d, and this griddle knows %d", v.Version, StateVersion)
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
		bad("the stack's name %q is no name", s.Stack)
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
			bad("the server's name %q is no name", name)
		case v == nil:
			bad("server %s is empty", name)
		case v.Phase != Reserved && v.Phase != Making && v.Phase != Booted:
			bad("server %s: phase %q is unknown", name, v.Phase)
		case v.Private.IsValid() && !v.Private.Is4():
			bad("server %s: %v is no IPv4 address", name, v.Private)
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
