package plan

import (
	"errors"
	"fmt"
	"net/netip"

	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// Lookup returns the value that a reference stands for.
type Lookup = func(stack.Reference) (string, error)

// Renderer makes the user-data of a server. It calls lookup for each reference in it; the same server and values give
// the same bytes.
type Renderer func(s stack.Server, lookup Lookup) ([]byte, error)

// Input has everything that a plan is made from.
type Input struct {
	Stack    *stack.Stack
	State    *state.State // an empty one for a new stack
	Features provider.Features
	Have     []provider.Resource // List of the stack
	Images   []provider.Resource // List of images
	Versions map[string]string   // by reference@arch: what a reference means now; may lack those that State.Images has
	Key      string              // public ssh key for the provider, one line of authorized_keys; empty for none
	Render   Renderer
	// of the sources of a server's user-data; nil for the digest of the user-data itself, with references as written
	Declared func(stack.Server) (digest string, err error)
	Rebuild  []string // servers to be replaced in any case
}

// planner makes one plan.
type planner struct {
	Input
	s        *stack.Stack // scaled
	plan     *Plan
	have     map[provider.KindName]provider.Resource
	declared map[provider.KindName]bool
	bind     map[string][]string // volumes, by the ID of the server that they are bound to
	network  Do                  // of the network: a server in a new network is new
	firewall map[string]string   // name of that of each server
}

// Make makes the plan. The error lists every server that cannot be created as it is declared.
func Make(in Input) (*Plan, error) {
	s, err := Scaled(in.Stack, in.State.Scale)
	if err != nil {
		return nil, fmt.Errorf("planning stack %s: %w", in.Stack.Name, err)
	}
	p := &planner{Input: in, s: s, have: make(map[provider.KindName]provider.Resource, len(in.Have)),
		declared: make(map[provider.KindName]bool)}
	p.plan = &Plan{Stack: s.Name, Provider: in.Features.Name, Specs: make(map[string]state.Spec, len(s.Servers)),
		Versions: make(map[string]string)}
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
	if p.plan.Addresses, err = Addresses(s, in.State.Servers, taken); err != nil {
		return nil, fmt.Errorf("planning stack %s: %w", s.Name, err)
	}
	if err := errors.Join(p.checkFeatures(), p.images(), p.shared(), p.lasting(), p.servers()); err != nil {
		return nil, fmt.Errorf("planning stack %s: %w", s.Name, err)
	}
	p.leftover()
	return p.plan, nil
}

// checkFeatures finds what the provider does not support.
func (p *planner) checkFeatures() error {
	var faults []error
	lacks := p.Features.Lacks
	if why, ok := lacks[provider.KindServer]; ok {
		faults = append(faults,
			fmt.Errorf("provider %s makes no servers: %s: %w", p.Features.Name, why, provider.ErrUnsupported))
	}
	for _, v := range p.s.Servers {
		if why, ok := lacks[provider.KindAddress]; ok && v.Public {
			faults = append(faults,
				fmt.Errorf("server %s: a public address: %s: %w", v.Name, why, provider.ErrUnsupported))
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

// whyMissing says why something that is not there is made.
func whyMissing(state provider.State, known bool) string {
	switch {
	case state == provider.Removing:
		return "the one that is there is being removed"
	case known:
		return "it was made before and is gone"
	}
	return ""
}

// leftover plans what is there and not declared: servers, firewalls and addresses go. A volume stays: its data may be
// all there is.
func (p *planner) leftover() {
	for _, kind := range []provider.Kind{provider.KindServer, provider.KindAddress, provider.KindFirewall} {
		for _, r := range p.Have {
			if r.Kind != kind || p.declared[kind.Named(r.Name)] {
				continue
			}
			step := Step{Do: Remove, Kind: kind, Name: r.Name, ID: r.ID, Why: "it is not declared"}
			if v := p.State.Servers[r.Name]; kind == provider.KindServer && v != nil {
				step.Role = v.Role
			}
			p.plan.Steps = append(p.plan.Steps, step)
		}
	}
	for _, r := range p.Have {
		if r.Kind == provider.KindVolume && !p.declared[r.KindName()] {
			p.note("volume %s is not declared, and is kept with its data", r.Name)
		}
	}
}

func (p *planner) note(format string, a ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, a...))
}
