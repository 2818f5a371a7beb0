// Package plan says what would change in a stack, and why. It is functions from values to values: it asks no provider,
// reads no file and changes nothing.
//
// Call Make with what is declared, what the provider has and what is kept (Input); the Plan that it returns has a Step
// for each resource. Plan.Print writes it for people, and as JSON it is what `griddle cloud plan --output json` prints.
// The one that carries a plan out also needs the values that are not in the JSON: the private address, the Spec and the
// image of each server.
//
// The same input gives the same plan. A step never removes a volume, and one more server changes no other server's
// address.
package plan

import (
	"net/netip"

	"griddle/cloud/provider"
	"griddle/cloud/state"
)

// Do says what a step does.
type Do string

// What a step can do.
const (
	Nothing Do = "nothing"
	Create  Do = "create"
	Change  Do = "change"  // in place: the server keeps running
	Replace Do = "replace" // removed and made again; a server's volumes, public and private address stay
	Remove  Do = "remove"
)

// Step is the change of one resource.
type Step struct {
	Do   Do            `json:"do"`
	Kind provider.Kind `json:"kind"`
	Name string        `json:"name"`
	Role string        `json:"role,omitempty"` // of servers
	Why  string        `json:"why,omitempty"`
	ID   string        `json:"id,omitempty"` // of the resource that exists
}

// Plan has the steps to what is declared, in the order of kinds and of roles, removals last.
type Plan struct {
	Stack    string   `json:"stack"`
	Provider string   `json:"provider"`
	Steps    []Step   `json:"steps"`
	Notes    []string `json:"notes,omitempty"` // what stays as it is, and may surprise

	Addresses map[string]netip.Addr `json:"-"` // private ones, by server
	Specs     map[string]state.Spec `json:"-"` // by server
	Versions  map[string]string     `json:"-"` // by reference@arch
}

// Empty says whether no step does anything.
func (p *Plan) Empty() bool { return p.Count(Nothing) == len(p.Steps) }

// Count is the number of steps that do d.
func (p *Plan) Count(d Do) (n int) {
	for _, s := range p.Steps {
		if s.Do == d {
			n++
		}
	}
	return n
}
