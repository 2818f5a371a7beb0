// Package firstboot makes the user-data of a stack's servers: what secures them, and over it what the stack file says.
//
// Call New with the stack; what it returns is a cloud.Renderer. The parts are merged by cloud/userdata in this order,
// later ones winning: those of cloud/userdata/secure, then the server's own in the stack file's order (stack, defaults,
// profiles, role, groups, server). References are replaced in cloud-configs, scripts and the files that say expand; a
// file that is read from this machine is carried over byte for byte.
package firstboot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"griddle/cloud/plan"
	"griddle/cloud/stack"
	"griddle/cloud/userdata"
	"griddle/cloud/userdata/pyyaml"
	"griddle/cloud/userdata/secure"
)

// Options are what New needs besides the stack.
type Options struct {
	ReadFile func(name string) ([]byte, error) // of this machine; names as in the stack file
	// public key that the admin has besides the declared ones; may be empty
	Login string
	// a server's own ssh key; nil leaves it to the server to make one
	HostKey func(server string) (pem string, err error)
	Limit   int  // most bytes; 0 for no limit
	Gzip    bool // what is larger is compressed
	Tree    bool // servers are containers, whose volumes are there already
}

// New makes the renderer of a stack.
func New(s *stack.Stack, o Options) plan.Renderer {
	return func(x stack.Server, lookup plan.Lookup) ([]byte, error) {
		m, err := Merge(s, x, o, lookup)
		if err != nil {
			return nil, err
		}
		b, err := m.Render(userdata.Options{Limit: o.Limit, Gzip: o.Gzip})
		if err != nil {
			return nil, fmt.Errorf("rendering the user-data of %s: %w", x.Name, err)
		}
		return b, nil
	}
}

// Merge gives the merged parts of a server, with the conflicts among them.
func Merge(s *stack.Stack, x stack.Server, o Options, lookup plan.Lookup) (*userdata.Merged, error) {
	srv, err := securing(s, x, o)
	if err == nil && o.HostKey != nil {
		srv.HostKey, err = o.HostKey(x.Name)
	}
	var parts, own []userdata.Part
	if err == nil {
		own, err = declaredParts(x, o, lookup)
	}
	if err == nil {
		found, _ := logins(s, own)
		for _, l := range found {
			srv.Guests = append(srv.Guests, l.Name)
		}
		parts, err = srv.Parts()
	}
	if err != nil {
		return nil, fmt.Errorf("rendering the user-data of %s: %w", x.Name, err)
	}
	// What is declared comes after what secures, and what secures runs before scripts.
	parts = append(parts, own...)
	m, err := userdata.Merge(parts)
	if err != nil {
		return nil, fmt.Errorf("rendering the user-data of %s: %w", x.Name, err)
	}
	return m, nil
}

// CheckCA says what is wrong with a file of certificates that servers are to trust.
func CheckCA(name string, o Options) error {
	b, err := o.ReadFile(name)
	if err != nil {
		return err
	}
	if err := secure.Authorities(string(b)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// declaredParts are the server's own parts, in the stack file's order.
func declaredParts(x stack.Server, o Options, lookup plan.Lookup) ([]userdata.Part, error) {
	var parts []userdata.Part
	for _, p := range x.UserData {
		more, err := Parts(p, o, lookup)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", p.At.Line, err)
		}
		parts = append(parts, more...)
	}
	return parts, nil
}

// Declared gives digests of what servers get, 64 hex digits, as the stack file and the files that it names declare it:
// a later version of this program, which secures servers in another way, changes none of them, and neither does
// another line of the file.
func Declared(s *stack.Stack, o Options) func(stack.Server) (string, error) {
	return func(x stack.Server) (string, error) {
		bare := o
		bare.Login = ""
		srv, err := securing(s, x, bare)
		if err != nil {
			return "", err
		}
		said := []any{srv}
		for _, p := range x.UserData {
			more, err := Parts(p, o, asWritten)
			if err != nil {
				return "", fmt.Errorf("line %d: %w", p.At.Line, err)
			}
			for _, q := range more {
				q.From = ""
				said = append(said, q)
			}
		}
		b, err := json.Marshal(said)
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:]), nil
	}
}

// securing is what makes any server secure.
func securing(s *stack.Stack, x stack.Server, o Options) (*secure.Server, error) {
	srv := secure.Server{
		Hostname: x.Name, Admin: s.Admin, SSH: secure.SSH{Port: s.SSH.Port, From: slices.Clone(s.SSH.From)},
		Inside: []netip.Prefix{s.Network.Prefix}, NTP: s.Settings.NTP, DNS: s.Settings.DNS, Zone: s.Settings.Zone,
		Locale: s.Settings.Locale, Proxy: s.Settings.Proxy,
	}
	var errs []error
	if s.Settings.CA != "" {
		b, err := o.ReadFile(s.Settings.CA)
		errs = append(errs, err)
		srv.CA = string(b)
	}
	common, err := Keys(s.Keys, o)
	errs = append(errs, err)
	for _, u := range s.Users {
		own, err := Keys(u.Keys, o)
		errs = append(errs, err)
		if len(u.Keys) == 0 {
			own = slices.Clone(common)
		}
		if u.Name == s.Admin && o.Login != "" && !slices.Contains(own, o.Login) {
			own = append(own, o.Login)
		}
		srv.Users = append(srv.Users, secure.User{Name: u.Name, Keys: own, Sudo: u.Sudo, Groups: u.Groups})
	}
	for _, p := range x.Ports {
		srv.Ports = append(srv.Ports, secure.Port{Protocol: p.Protocol, From: p.From, To: p.To, Source: p.Source})
	}
	if !o.Tree {
		for _, v := range x.Volumes {
			srv.Volumes = append(srv.Volumes, secure.Volume{Name: v.Name, Size: v.Size, Mount: v.Mount})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &srv, nil
}

// Keys reads declared keys, one line each, without comments and doubles; a file may hold several.
func Keys(declared []stack.Key, o Options) (out []string, err error) {
	for _, k := range declared {
		lines := k.Line
		if k.File != "" {
			b, err := o.ReadFile(k.File)
			if err != nil {
				return nil, fmt.Errorf("reading the key %s: %w", k.File, err)
			}
			if strings.Contains(string(b), "PRIVATE KEY") {
				return nil, fmt.Errorf("%s is a private key; name the file that ends in .pub", k.File)
			}
			lines = string(b)
		}
		for line := range strings.Lines(lines) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") &&
				!slices.Contains(out, line) {
				out = append(out, line)
			}
		}
	}
	return out, nil
}

// Parts makes the parts of what the stack file says, and reads the file that it names: one part, but for a
// file that holds several.
func Parts(p stack.Part, o Options, lookup plan.Lookup) ([]userdata.Part, error) {
	out := userdata.Part{From: fmt.Sprintf("the stack file's line %d", p.At.Line)}
	var err error
	switch {
	case p.Path != "":
		b, err := o.ReadFile(p.Path)
		if err != nil {
			return nil, err
		}
		return userdata.Read(p.Path, b, pyyaml.Read) // a file is what it is: shell's ${VAR} in it is no reference
	case p.Script != "":
		out.Script, err = stack.Expand(p.Script, lookup)
	case p.Write != nil:
		f := &userdata.File{Path: p.Write.Path, Owner: p.Write.Owner, Mode: p.Write.Mode,
			Content: []byte(p.Write.Content)}
		if p.Write.Source != "" {
			f.Content, err = o.ReadFile(p.Write.Source)
		} else if p.Write.Expand {
			var s string
			s, err = stack.Expand(p.Write.Content, lookup)
			f.Content = []byte(s)
		}
		out.File = f
	default:
		var v any
		if v, err = stack.ExpandValue(p.Config, lookup); err == nil {
			out.Config, _ = v.(map[string]any)
		}
	}
	return []userdata.Part{out}, err
}
