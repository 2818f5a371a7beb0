// Package preflight finds what is wrong with a stack before anything of it is made.
//
// Fill in a Check and call Run. stack.Parse has read the stack file; Run opens the files that it names, looks for the
// secrets, reads the user-data by cloud-init's rules, and compares what is declared with what the provider takes,
// without a network. `griddle cloud check` prints what it finds, and `griddle cloud up` begins with it: what Run finds,
// no stage of up finds later.
//
// Files are read by Check.Boot.ReadFile, which bounds them; nothing is written.
package preflight

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"griddle/cloud/firstboot"
	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
	"griddle/cloud/userdata"
	"griddle/cloud/yamltree"
)

// Check is a stack, and what is known of the world around it.
type Check struct {
	Stack    *stack.Stack
	Boot     firstboot.Options
	Secret   func(stack.Secret) error // says why a secret's value cannot be had; nil takes every secret for there
	Features provider.Features        // of the stack's provider
	Sizes    []provider.Size          // that it has; nil where only the provider knows

	// Ports says what the provider does not take of a server's open ports; nil where every port can be.
	Ports func(rules []provider.Rule) error

	faults, notes yamltree.Faults
	used          map[string]bool // secrets
}

// Run returns every fault, with which up would fail, and notes of what it would do and may not be meant, both by place.
func (c *Check) Run() (faults, notes yamltree.Faults) {
	c.faults, c.notes, c.used = nil, nil, make(map[string]bool)
	c.keys()
	c.authorities()
	c.parts()
	c.servers()
	c.secrets()
	if len(c.faults) == 0 {
		c.plan() // whose faults have no place, and would repeat those above
	}
	return c.faults.Sorted(), c.notes.Sorted()
}

func (c *Check) fault(path, hint, format string, args ...any) {
	c.faults = append(c.faults, c.Stack.Fault(path, hint, format, args...))
}

// keys reads the files with public keys.
func (c *Check) keys() {
	c.keysOf("keys", c.Stack.Keys)
	shift := 0 // an admin whom the file does not list is put before the users that it lists
	if len(c.Stack.Users) > 0 && !c.Stack.Has(fmt.Sprintf("users[%d]", len(c.Stack.Users)-1)) {
		shift = 1
	}
	for i, u := range c.Stack.Users {
		path := fmt.Sprintf("users[%d]", i-shift)
		if i < shift {
			path = "admin"
		}
		c.keysOf(path+".keys", u.Keys)
		if len(u.Keys) == 0 && len(c.Stack.Keys) == 0 && u.Name != c.Stack.Admin {
			c.fault(path, "give it keys, or write keys for all users at the top of the file",
				"the user %s has no ssh key, and no one logs in by password", u.Name)
		}
	}
}

func (c *Check) keysOf(path string, all []stack.Key) {
	for i, k := range all {
		if k.File == "" {
			continue // Parse has read it
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		lines, err := firstboot.Keys([]stack.Key{k}, c.Boot)
		if err != nil {
			c.fault(at, "", "%v", err)
			continue
		}
		if len(lines) == 0 {
			c.fault(at, "", "%s has no key in it", k.File)
		}
		for _, l := range lines {
			if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l)); err != nil {
				c.fault(at, "a line has the type of a key and the key itself, as in id_ed25519.pub",
					"%s has a line that is not an ssh public key: %.40q", k.File, l)
			}
		}
	}
}

// authorities reads the file with certificates.
func (c *Check) authorities() {
	if ca := c.Stack.Settings.CA; ca != "" {
		if err := firstboot.CheckCA(ca, c.Boot); err != nil {
			c.fault("settings.ca", "", "%v", err)
		}
	}
}

// parts reads the user-data, part by part: each is a fault of its own, wherever servers get it from.
func (c *Check) parts() {
	seen := make(map[yamltree.Place]bool)
	for _, p := range slices.Concat(c.Stack.UserData, c.allParts()) {
		if seen[p.At] {
			continue
		}
		seen[p.At] = true
		parts, err := firstboot.Parts(p, c.Boot, asWritten)
		if err == nil {
			_, err = userdata.Merge(parts)
		}
		if err != nil {
			c.faults = append(c.faults, c.Stack.FaultAt(p.At, "", "%v", err))
		}
	}
}

func (c *Check) allParts() (all []stack.Part) {
	for _, v := range c.Stack.Servers {
		all = append(all, v.UserData...)
	}
	return all
}

func asWritten(r stack.Reference) (string, error) { return r.String(), nil }

// place is the path of what declares a server.
func place(v stack.Server) string {
	if v.Number > 0 {
		return "roles." + v.Role
	}
	return "servers." + v.Name
}

// servers looks at each server, and of those that are alike at one.
func (c *Check) servers() {
	before := len(c.faults)
	seen := make(map[string]bool)
	for _, v := range c.Stack.Servers {
		at := place(v)
		if seen[at] {
			continue
		}
		seen[at] = true
		if c.Sizes != nil && !slices.ContainsFunc(c.Sizes, func(z provider.Size) bool { return z.Name == v.Size }) {
			var names []string
			for _, z := range c.Sizes {
				names = append(names, z.Name)
			}
			c.fault(at, "there are "+strings.Join(names, ", "), "%s has no size %q", c.Stack.Provider, v.Size)
		}
		if c.Ports != nil {
			if err := c.Ports(plan.Rules(c.Stack.SSH, v.Ports)); err != nil {
				c.fault(at, "", "%v", err)
			}
		}
		if before > 0 {
			continue // the user-data is not complete
		}
		_, notes := firstboot.Logins(c.Stack, v, c.Boot)
		for _, n := range notes {
			c.notes = append(c.notes, c.Stack.Fault(at, "", "%s", n))
		}
		if _, err := firstboot.New(c.Stack, c.Boot)(v, c.noting); err != nil {
			c.fault(at, "", "%v", err)
		}
	}
}

// noting is a lookup that notes which secrets are used.
func (c *Check) noting(r stack.Reference) (string, error) {
	if r.Kind == "secret" {
		c.used[r.Name] = true
	}
	return r.String(), nil
}

// secrets looks whether their values can be had. One that nothing uses is not needed.
func (c *Check) secrets() {
	if c.Secret == nil {
		return
	}
	complete := len(c.faults) == 0
	for _, s := range c.Stack.Secrets {
		err := c.Secret(s)
		if err == nil {
			continue
		}
		f := c.Stack.Fault("secrets."+s.Name, "", "%v", err)
		if complete && !c.used[s.Name] {
			f.Text += "; nothing uses it"
			c.notes = append(c.notes, f)
		} else {
			c.faults = append(c.faults, f)
		}
	}
}

// plan has the planner look, as if nothing were there yet.
func (c *Check) plan() {
	versions := make(map[string]string)
	for _, v := range c.Stack.Servers {
		versions[v.Image+"@"+v.Arch] = v.Image
	}
	boot := c.Boot
	in := plan.Input{Stack: c.Stack, State: &state.State{Stack: c.Stack.Name}, Features: c.Features, Versions: versions,
		Render: firstboot.New(c.Stack, boot), Declared: firstboot.Declared(c.Stack, boot)}
	_, err := plan.Make(in)
	for _, err := range separate(err) {
		path, text := "", strings.TrimPrefix(err.Error(), "planning stack "+c.Stack.Name+": ")
		for _, v := range c.Stack.Servers {
			if strings.HasPrefix(text, "server "+v.Name+":") {
				path = cmp.Or(path, place(v))
			}
		}
		c.fault(path, "", "%s", text)
	}
}

// separate takes joined errors apart.
func separate(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && len(joined.Unwrap()) > 1 && strings.Contains(err.Error(), "\n") {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, separate(e)...)
		}
		return out
	}
	return []error{err}
}
