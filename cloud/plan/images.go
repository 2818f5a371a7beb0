package plan

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
		key := ImageKey(v)
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
			p.note("%s is %s now; servers stay with %s until they are upgraded", v.Image, now,
				ImageName(version, pinned.Digest))
		}
		name := ImageName(version, pinned.Digest) + "@" + v.Arch
		if seen[name] {
			continue
		}
		seen[name] = true
		do, why, id := p.image(pinned.Digest, version)
		p.plan.Steps = append(p.plan.Steps, Step{Do: do, Kind: provider.KindImage, Name: name, Why: why, ID: id})
	}
	return errors.Join(faults...)
}

// ImageName names an image by its version, or by its digest where the version is not known: in an adopted stack.
func ImageName(version, digest string) string {
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
	i := slices.IndexFunc(p.Images, func(r provider.Resource) bool {
		return r.Digest == digest && r.State != provider.Removing
	})
	switch {
	case i < 0 && version == "":
		return Nothing, "the provider no longer has it, and its version is not known", ""
	case i < 0:
		return Create, "the provider no longer has it", ""
	case p.Images[i].State == provider.Failed:
		return Replace, "it failed: " + p.Images[i].Reason, p.Images[i].ID
	case p.Images[i].State == provider.Pending:
		return Create, "its upload was not finished", p.Images[i].ID
	}
	return Nothing, "", p.Images[i].ID
}
