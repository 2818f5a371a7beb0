package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// servers plans the servers, in the order in which they are brought up.
func (p *planner) servers() error {
	var faults []error
	missingOutputs := p.missingOutputs()
	for _, v := range p.s.Servers {
		spec, err := p.spec(v)
		if err != nil {
			faults = append(faults, fmt.Errorf("server %s: %w", v.Name, err))
			continue
		}
		p.plan.Specs[v.Name] = spec
		do, why := p.server(v, spec)
		if do == Nothing && missingOutputs[v.Name] {
			do, why = Change, "the outputs of its role are not known yet"
		}
		p.add(provider.KindServer, v.Name, v.Role, do, why)
	}
	for _, name := range p.Rebuild {
		if !p.declared[provider.KindServer.Named(name)] {
			faults = append(faults, fmt.Errorf("server %s: it cannot be rebuilt: it is not declared", name))
		}
	}
	return errors.Join(faults...)
}

// missingOutputs names the servers whose outputs must be read though nothing else is to be done.
func (p *planner) missingOutputs() map[string]bool {
	out := make(map[string]bool)
	for _, role := range p.s.Roles {
		first := slices.IndexFunc(p.s.Servers, func(v stack.Server) bool { return v.Role == role.Name })
		if first < 0 {
			continue
		}
		for _, o := range role.Outputs {
			if _, known := p.State.Outputs[role.Name][o.Name]; !known {
				out[p.s.Servers[first].Name] = true
			}
		}
	}
	return out
}

// spec is what a server is to be made from.
func (p *planner) spec(v stack.Server) (state.Spec, error) {
	data, err := p.Render(v, asWritten)
	if err != nil {
		return state.Spec{}, fmt.Errorf("its user-data: %w", err)
	}
	if most := p.Features.UserData; len(data) > most {
		return state.Spec{}, fmt.Errorf("its user-data has %d bytes, and the provider takes %d: %w", len(data), most,
			provider.ErrInvalid)
	}
	sum := sha256.Sum256(data)
	told := hex.EncodeToString(sum[:])
	if p.Declared != nil {
		if told, err = p.Declared(v); err != nil {
			return state.Spec{}, fmt.Errorf("its user-data: %w", err)
		}
	}
	return state.Spec{
		Image: p.plan.Versions[ImageKey(v)], Arch: v.Arch, Size: v.Size, Disk: v.Disk,
		Private: p.plan.Addresses[v.Name], UEFI: v.UEFI, UserData: told,
	}, nil
}

// server decides about one server.
func (p *planner) server(v stack.Server, want state.Spec) (Do, string) {
	r, there := p.have[provider.KindServer.Named(v.Name)]
	old := p.State.Servers[v.Name]
	switch {
	case !there || r.State == provider.Removing:
		return Create, whyMissing(r.State, p.made(v.Name))
	case r.State == provider.Failed:
		return Replace, "it failed: " + r.Reason
	case slices.Contains(p.Rebuild, v.Name):
		return Replace, "--rebuild names it"
	case p.network != Nothing:
		return Replace, "its network is replaced"
	case old == nil || old.Origin == nil:
		p.note("server %s exists, and what it was created from is not known: "+
			"it stays as it is until it is upgraded or rebuilt", v.Name)
	case r.Want != "" && r.Want != old.Origin.Want:
		p.note("server %s was not created by the last run here: it stays as it is until it is upgraded or rebuilt",
			v.Name)
	case old.Origin.Network != p.have[provider.KindNetwork.Named(NetworkName)].ID:
		return Replace, "its network is gone"
	case old.Spec != nil:
		if why := differences(*old.Spec, want); why != "" {
			return Replace, why
		}
	}
	switch {
	case r.State == provider.Stopped:
		return Change, "it is stopped"
	case old == nil || old.Phase != state.Booted:
		return Change, "its first boot was not finished"
	}
	f := provider.KindFirewall.Named(p.firewall[v.Name])
	if p.declared[f] && (old.Firewall != f.Name || p.have[f].ID == "") {
		return Change, "it gets firewall " + f.Name
	}
	return p.attachments(v, r)
}

// differences says why a server that was made from one cannot become the other; empty where they are the same.
func differences(old, want state.Spec) string {
	var why []string
	differ := func(what, a, b string) {
		if a != b {
			why = append(why, fmt.Sprintf("%s %s becomes %s", what, a, b))
		}
	}
	differ("image", old.Image, want.Image)
	differ("architecture", old.Arch, want.Arch)
	differ("size", old.Size, want.Size)
	differ("root disk", gib(old.Disk), gib(want.Disk))
	differ("private address", old.Private.String(), want.Private.String())
	differ("boot by UEFI", fmt.Sprint(old.UEFI), fmt.Sprint(want.UEFI))
	if old.UserData != want.UserData {
		why = append(why, "its user-data changed")
	}
	return strings.Join(why, ", ")
}

// attachments compares the address and the volumes of a server with what is declared.
func (p *planner) attachments(v stack.Server, r provider.Resource) (Do, string) {
	a := p.have[provider.KindAddress.Named(v.Name)]
	if v.Public && a.Bound != r.ID {
		return Change, "it gets its public address"
	}
	if !v.Public && a.ID != "" && a.Bound == r.ID {
		return Change, "its public address is taken away"
	}
	want := make(map[string]bool, len(v.Volumes))
	for _, d := range v.Volumes {
		name := VolumeName(v.Name, d.Name)
		want[name] = true
		if p.have[provider.KindVolume.Named(name)].Bound != r.ID {
			return Change, "it gets volume " + d.Name
		}
	}
	for _, name := range p.bind[r.ID] {
		if !want[name] {
			return Change, "volume " + name + " is taken away"
		}
	}
	return Nothing, ""
}
