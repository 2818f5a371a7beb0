package plan

import (
	"errors"
	"fmt"
	"slices"

	"griddle/cloud/provider"
	"griddle/cloud/state"
)

// shared plans what all servers share.
func (p *planner) shared() error {
	known := len(p.State.Servers) > 0
	if _, lacks := p.Features.Lacks[provider.KindKey]; !lacks && p.Key != "" {
		p.one(&provider.Key{Stack: p.s.Name, Name: KeyName, Public: p.Key}, known)
	}
	p.network = Nothing
	if _, lacks := p.Features.Lacks[provider.KindNetwork]; !lacks {
		n := &provider.Network{Stack: p.s.Name, Name: NetworkName, Prefix: p.s.Network.Prefix, DNS: p.s.Settings.DNS,
			External: p.s.Network.External}
		p.network = p.one(n, known)
	}
	if _, lacks := p.Features.Lacks[provider.KindFirewall]; lacks {
		return nil
	}
	rules, of := Firewalls(p.s)
	p.firewall = of
	var faults []error
	for _, v := range p.s.Servers {
		name := of[v.Name]
		t := provider.KindFirewall.Named(name)
		if p.declared[t] {
			continue
		}
		w := &provider.Firewall{Stack: p.s.Name, Name: name, Rules: rules[name]}
		if err := provider.Check(p.Features, w); err != nil {
			faults = append(faults, err)
		}
		r, there := p.have[t]
		switch {
		case !there || r.State == provider.Removing:
			p.add(t.Kind, name, "", Create, whyMissing(r.State, p.State.Firewalls[name] != ""))
		case p.network != Nothing:
			p.add(t.Kind, name, "", Replace, "its network is replaced")
		case r.State == provider.Failed:
			p.add(t.Kind, name, "", Replace, "it failed: "+r.Reason)
		case p.State.Firewalls[name] != RulesDigest(rules[name]):
			p.add(t.Kind, name, "", Change, "its rules changed")
		default:
			p.add(t.Kind, name, "", Nothing, "")
		}
	}
	return errors.Join(faults...)
}

// one plans the key or the network.
func (p *planner) one(w provider.Want, known bool) Do {
	kind, _, name := w.Identity()
	r, there := p.have[kind.Named(name)]
	do, why := Nothing, ""
	switch {
	case !there || r.State == provider.Removing:
		do, why = Create, whyMissing(r.State, known)
	case r.State == provider.Failed:
		do, why = Replace, "it failed: "+r.Reason
	case r.Want != "" && r.Want != w.Fingerprint():
		do, why = Replace, "it was made with other settings"
	}
	p.add(kind, name, "", do, why)
	return do
}

// lasting plans what outlives servers: addresses and volumes.
func (p *planner) lasting() error {
	for _, v := range p.s.Servers {
		if !v.Public {
			continue
		}
		w := &provider.Address{Stack: p.s.Name, Name: v.Name, External: p.s.Network.External}
		r, there := p.have[provider.KindAddress.Named(v.Name)]
		do, why := Nothing, ""
		switch {
		case !there || r.State == provider.Removing:
			do, why = Create, whyMissing(r.State, p.wasKept(provider.KindAddress, v.Name))
		case r.State == provider.Failed && r.Bound == "":
			do, why = Replace, "it failed: "+r.Reason
		case r.Want != "" && r.Want != w.Fingerprint():
			p.note("the address of %s was made with another external network, and is kept: delete it to have another",
				v.Name)
		}
		p.add(provider.KindAddress, v.Name, "", do, why)
	}
	var faults []error
	for _, v := range p.s.Servers {
		for _, d := range v.Volumes {
			name := VolumeName(v.Name, d.Name)
			r, there := p.have[provider.KindVolume.Named(name)]
			do, why := Nothing, ""
			switch {
			case !there || r.State == provider.Removing:
				if do, why = Create, whyMissing(r.State, p.wasKept(provider.KindVolume, name)); why != "" {
					p.note("volume %s is gone: the new one has none of its data", name)
				}
			case r.State == provider.Failed:
				faults = append(faults, fmt.Errorf("volume %s failed: %s; it may have data, and is not replaced: "+
					"remove it at the provider if it has none", name, r.Reason))
			case r.Size < d.Size:
				do, why = Change, fmt.Sprintf("it grows from %s to %s", gib(r.Size), gib(d.Size))
			case r.Size > d.Size:
				p.note("volume %s has %s and not %s: volumes are never made smaller", name, gib(r.Size), gib(d.Size))
			}
			p.add(provider.KindVolume, name, "", do, why)
		}
	}
	return errors.Join(faults...)
}

// wasKept says whether an address or a volume was made before.
func (p *planner) wasKept(kind provider.Kind, name string) bool {
	return slices.Contains(p.State.Kept, string(kind)+" "+name)
}

// made says whether a server was made before.
func (p *planner) made(server string) bool {
	v := p.State.Servers[server]
	return v != nil && v.Phase != state.Reserved
}

func gib(n int64) string { return fmt.Sprintf("%d GiB", n>>30) }
