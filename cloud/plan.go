package cloud

import (
	"errors"
	"fmt"
	"net/netip"

	"griddle/cloud/provider"
	"griddle/cloud/stack"
)

// Do is what a step does.
type Do string

// What steps do.
const (
	Nothing Do = "nothing"
	Create  Do = "create"
	Change  Do = "change"  // in place: the server keeps running
	Replace Do = "replace" // removed and made again; a server's volumes, public and private address stay
	Remove  Do = "remove"
)

// Step is what happens to one resource.
type Step struct {
	Do   Do            `json:"do"`
	Kind provider.Kind `json:"kind"`
	Name string        `json:"name"`
	Role string        `json:"role,omitempty"` // of servers
	Why  string        `json:"why,omitempty"`
	ID   string        `json:"id,omitempty"` // of what is there
}

// Plan is what Up would do, in the order of kinds and of roles, removals last.
type Plan struct {
	Stack    string   `json:"stack"`
	Provider string   `json:"provider"`
	Steps    []Step   `json:"steps"`
	Notes    []string `json:"notes,omitempty"` // what is as it is, and may not be expected so

	Addresses map[string]netip.Addr `json:"-"` // private ones, by server
	Specs     map[string]Spec       `json:"-"` // by server
	Versions  map[string]string     `json:"-"` // by reference@arch
}

// Empty says whether there is nothing to do.
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

// Input is what a plan is made from.
type Input struct {
	Stack    *stack.Stack
	State    *State // the empty one for a new stack
	Features provider.Features
	Have     []provider.Resource // List of the stack
	Images   []provider.Resource // List of images
	Versions map[string]string   // by reference@arch: what a reference means now; may lack those that State.Images has
	Key      string              // see Cloud.Key; empty for none
	Render   Renderer
	Declared func(stack.Server) (digest string, err error) // as Cloud.Declared
	Rebuild  []string                                      // servers to be replaced whatever they are
}

// planner is a plan on its way.
type planner struct {
	Input
	s        *stack.Stack // scaled
	plan     *Plan
	have     map[provider.KindName]provider.Resource
	declared map[provider.KindName]bool
	bind     map[string][]string // volumes, by the ID of the server that they are bound to
	network  Do                  // of the network: what stands in a new one is new
	firewall map[string]string   // name of that of each server
}

// Decide makes the plan. It asks nobody and changes nothing; errors list every server that cannot be made as it is declared.
func Decide(in Input) (*Plan, error) {
	s, err := scaled(in.Stack, in.State.Scale)
	if err != nil {
		return nil, fmt.Errorf("planning stack %s: %w", in.Stack.Name, err)
	}
	p := &planner{Input: in, s: s, have: make(map[provider.KindName]provider.Resource, len(in.Have)), declared: make(map[provider.KindName]bool)}
	p.plan = &Plan{Stack: s.Name, Provider: in.Features.Name, Specs: make(map[string]Spec, len(s.Servers)), Versions: make(map[string]string)}
	for _, r := range in.Have {
		p.have[r.KindName()] = r
	}
	p.bind = make(map[string][]string)
	taken := make(map[netip.Addr]string)
	for _, r := range in.Have {
		if r.Kind == provider.KindVolume {
			p.bind[r.Bound] = append(p.bind[r.Bound], r.Name)
		}
		if r.Kind == provider.KindServer && r.Private.IsValid() {
			taken[r.Private] = r.Name
		}
	}
	if p.plan.Addresses, err = addresses(s, in.State.Servers, taken); err != nil {
		return nil, fmt.Errorf("planning stack %s: %w", s.Name, err)
	}
	if err := errors.Join(p.possible(), p.images(), p.ground(), p.keeps(), p.servers()); err != nil {
		return nil, fmt.Errorf("planning stack %s: %w", s.Name, err)
	}
	p.leftover()
	return p.plan, nil
}

// possible finds what the provider has no notion of.
func (p *planner) possible() error {
	var faults []error
	lacks := p.Features.Lacks
	if why, ok := lacks[provider.KindServer]; ok {
		faults = append(faults, fmt.Errorf("provider %s makes no servers: %s: %w", p.Features.Name, why, provider.ErrUnsupported))
	}
	for _, v := range p.s.Servers {
		if why, ok := lacks[provider.KindAddress]; ok && v.Public {
			faults = append(faults, fmt.Errorf("server %s: a public address: %s: %w", v.Name, why, provider.ErrUnsupported))
		}
		if why, ok := lacks[provider.KindVolume]; ok && len(v.Volumes) > 0 {
			faults = append(faults, fmt.Errorf("server %s: volumes: %s: %w", v.Name, why, provider.ErrUnsupported))
		}
	}
	return errors.Join(faults...)
}

// add adds a step for what is declared.
func (p *planner) add(kind provider.Kind, name, role string, do Do, why string) {
	t := kind.Named(name)
	p.declared[t] = true
	p.plan.Steps = append(p.plan.Steps, Step{Do: do, Kind: kind, Name: name, Role: role, Why: why, ID: p.have[t].ID})
}

// missing says why something that is not there is made.
func missing(state provider.State, known bool) string {
	switch {
	case state == provider.Removing:
		return "the one that is there is being removed"
	case known:
		return "it was made before and is gone"
	}
	return ""
}

// leftover plans what is there and not declared: servers, firewalls and addresses go. A volume stays: its data may be all there is.
func (p *planner) leftover() {
	for _, kind := range []provider.Kind{provider.KindServer, provider.KindAddress, provider.KindFirewall} {
		for _, r := range p.Have {
			if r.Kind != kind || p.declared[kind.Named(r.Name)] {
				continue
			}
			step := Step{Do: Remove, Kind: kind, Name: r.Name, ID: r.ID, Why: "nothing declares it"}
			if v := p.State.Servers[r.Name]; kind == provider.KindServer && v != nil {
				step.Role = v.Role
			}
			p.plan.Steps = append(p.plan.Steps, step)
		}
	}
	for _, r := range p.Have {
		if r.Kind == provider.KindVolume && !p.declared[r.KindName()] {
			p.note("volume %s is declared by nobody, and kept with its data", r.Name)
		}
	}
}

func (p *planner) note(format string, a ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, a...))
}
