package openstack

import (
	"context"
	"fmt"
	"strings"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
)

const keyPrefix = "griddle_"

// keyName is the name of a key pair. Nova takes letters, digits, spaces, dashes and underscores alone (dots since
// 2.92); a stack's name has no dot and neither name has an underscore, so what this gives can be read back.
func keyName(stack, name string) string {
	return keyPrefix + stack + "_" + strings.ReplaceAll(name, ".", "_")
}

// parseKeyName reads what keyName gave.
func parseKeyName(s string) (stack, name string, ok bool) {
	rest, ok := strings.CutPrefix(s, keyPrefix)
	if !ok {
		return "", "", false
	}
	stack, name, ok = strings.Cut(rest, "_")
	return stack, strings.ReplaceAll(name, "_", "."), ok && stack != "" && name != ""
}

func keyResource(k keypairs.KeyPair) (provider.Resource, bool) {
	stack, name, ok := parseKeyName(k.Name)
	want := (&provider.Key{Public: k.PublicKey}).Fingerprint()
	return provider.Resource{Kind: provider.KindKey, Stack: stack, Name: name, ID: k.Name,
		State: provider.Ready, Want: want}, ok
}

func (p *Provider) ensureKey(ctx context.Context, w *provider.Key) (provider.Resource, error) {
	name := keyName(w.Stack, w.Name)
	for range 2 {
		k, err := keypairs.Get(ctx, p.compute, name, nil).Extract()
		if isNotFound(err) {
			k, err = keypairs.Create(ctx, p.compute, keypairs.CreateOpts{Name: name, PublicKey: w.Public}).Extract()
		}
		if isConflict(err) {
			continue // somebody made it since
		}
		if err != nil {
			return provider.Resource{}, err
		}
		r, _ := keyResource(*k)
		return r, nil
	}
	return provider.Resource{}, fmt.Errorf("key pair %s comes and goes: %w", name, provider.ErrTemporary)
}

func (p *Provider) listKeys(ctx context.Context, stack string) ([]provider.Resource, error) {
	pages, err := keypairs.List(p.compute, nil).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := keypairs.ExtractKeyPairs(pages)
	if err != nil {
		return nil, err
	}
	var ours []provider.Resource
	for _, k := range all {
		if r, ok := keyResource(k); ok && r.Stack == stack {
			ours = append(ours, r)
		}
	}
	return ours, nil
}

func (p *Provider) removeKey(ctx context.Context, r provider.Resource) error {
	if r.ID != keyName(r.Stack, r.Name) {
		return taken(r)
	}
	return keypairs.Delete(ctx, p.compute, r.ID, nil).ExtractErr()
}
