package cloud

import (
	"errors"
	"fmt"
	"slices"

	"griddle/cloud/provider"
)

// images plans the systems: one step for each version and architecture that servers are made from.
func (p *planner) images() error {
	var faults []error
	seen := make(map[string]bool)
	for _, v := range p.s.Servers {
		key := imageKey(v)
		if _, done := p.plan.Versions[key]; done {
			continue
		}
		pinned, was := p.State.Images[key]
		now := p.Versions[key]
		version := pinned.Version
		if !was {
			version = now
		}
		if version == "" && !was {
			faults = append(faults, fmt.Errorf("server %s: image %s is not known", v.Name, key))
			continue
		}
		p.plan.Versions[key] = version
		if was && now != "" && now != version {
			p.note("%s is %s now; servers stay with %s until they are upgraded", v.Image, now, shown(version, pinned.Digest))
		}
		name := shown(version, pinned.Digest) + "@" + v.Arch
		if seen[name] {
			continue
		}
		seen[name] = true
		do, why, id := p.image(pinned.Digest, version)
		p.plan.Steps = append(p.plan.Steps, Step{Do: do, Kind: provider.KindImage, Name: name, Why: why, ID: id})
	}
	return errors.Join(faults...)
}

// shown is how an image is called whose version an adopted stack does not know.
func shown(version, digest string) string {
	if version == "" {
		return digest[:min(len(digest), 19)] // as many digits as people compare
	}
	return version
}

func (p *planner) image(digest, version string) (do Do, why, id string) {
	if digest == "" {
		for _, i := range p.State.Images {
			if i.Version == version && i.Digest != "" {
				digest = i.Digest
			}
		}
	}
	if digest == "" {
		return Create, "it is built, and uploaded unless the provider has it", ""
	}
	i := slices.IndexFunc(p.Images, func(r provider.Resource) bool { return r.Digest == digest && r.State != provider.Removing })
	switch {
	case i < 0 && version == "":
		return Nothing, "the provider has it no more, and nobody knows how to build it", ""
	case i < 0:
		return Create, "the provider has it no more", ""
	case p.Images[i].State == provider.Failed:
		return Replace, "it failed: " + p.Images[i].Reason, p.Images[i].ID
	case p.Images[i].State == provider.Pending:
		return Create, "its upload was not seen to the end", p.Images[i].ID
	}
	return Nothing, "", p.Images[i].ID
}

// ground plans what all servers share.
func (p *planner) ground() error {
	known := len(p.State.Servers) > 0
	if _, lacks := p.Features.Lacks[provider.KindKey]; !lacks && p.Key != "" {
		p.shared(&provider.Key{Stack: p.s.Name, Name: keyName, Public: p.Key}, known)
	}
	p.network = Nothing
	if _, lacks := p.Features.Lacks[provider.KindNetwork]; !lacks {
		n := &provider.Network{Stack: p.s.Name, Name: networkName, Prefix: p.s.Network.Prefix, DNS: p.s.Settings.DNS, External: p.s.Network.External}
		p.network = p.shared(n, known)
	}
	if _, lacks := p.Features.Lacks[provider.KindFirewall]; lacks {
		return nil
	}
	rules, of := firewalls(p.s)
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
			p.add(t.Kind, name, "", Create, missing(r.State, p.State.Firewalls[name] != ""))
		case p.network != Nothing:
			p.add(t.Kind, name, "", Replace, "the network that it belongs to is made anew")
		case r.State == provider.Failed:
			p.add(t.Kind, name, "", Replace, "it failed: "+r.Reason)
		case p.State.Firewalls[name] != rulesDigest(rules[name]):
			p.add(t.Kind, name, "", Change, "its rules are others")
		default:
			p.add(t.Kind, name, "", Nothing, "")
		}
	}
	return errors.Join(faults...)
}

// shared plans the key or the network.
func (p *planner) shared(w provider.Want, known bool) Do {
	kind, _, name := w.Identity()
	r, there := p.have[kind.Named(name)]
	do, why := Nothing, ""
	switch {
	case !there || r.State == provider.Removing:
		do, why = Create, missing(r.State, known)
	case r.State == provider.Failed:
		do, why = Replace, "it failed: "+r.Reason
	case r.Want != "" && r.Want != w.Fingerprint():
		do, why = Replace, "it was made with other settings"
	}
	p.add(kind, name, "", do, why)
	return do
}

// keeps plans what outlives servers: addresses and volumes.
func (p *planner) keeps() error {
	for _, v := range p.s.Servers {
		if !v.Public {
			continue
		}
		w := &provider.Address{Stack: p.s.Name, Name: v.Name, External: p.s.Network.External}
		r, there := p.have[provider.KindAddress.Named(v.Name)]
		do, why := Nothing, ""
		switch {
		case !there || r.State == provider.Removing:
			do, why = Create, missing(r.State, p.kept(provider.KindAddress, v.Name))
		case r.State == provider.Failed && r.Bound == "":
			do, why = Replace, "it failed: "+r.Reason
		case r.Want != "" && r.Want != w.Fingerprint():
			p.note("the address of %s was made with another external network, and is kept: delete it to have another", v.Name)
		}
		p.add(provider.KindAddress, v.Name, "", do, why)
	}
	var faults []error
	for _, v := range p.s.Servers {
		for _, d := range v.Volumes {
			name := volumeName(v.Name, d.Name)
			r, there := p.have[provider.KindVolume.Named(name)]
			do, why := Nothing, ""
			switch {
			case !there || r.State == provider.Removing:
				if do, why = Create, missing(r.State, p.kept(provider.KindVolume, name)); why != "" {
					p.note("volume %s is gone: the new one has none of its data", name)
				}
			case r.State == provider.Failed:
				faults = append(faults, fmt.Errorf("volume %s failed: %s; it may have data, and is not replaced: remove it at the provider if it has none", name, r.Reason))
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

// kept says whether an address or a volume was made before.
func (p *planner) kept(kind provider.Kind, name string) bool {
	return slices.Contains(p.State.Kept, string(kind)+" "+name)
}

// made says whether a server was made before.
func (p *planner) made(server string) bool {
	v := p.State.Servers[server]
	return v != nil && v.Phase != Reserved
}

func gib(n int64) string { return fmt.Sprintf("%d GiB", n>>30) }
