package ec2

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// plainName is what key pairs and security groups are called. No stack's name holds a slash.
func plainName(stack, name string) string { return "griddle/" + stack + "/" + name }

func (p *Provider) listKeys(ctx context.Context, f ...types.Filter) ([]provider.Resource, error) {
	found, err := p.keys(ctx, f...)
	var all []provider.Resource
	for _, k := range found {
		all = append(all, labelled(k.KeyPairId, k.Tags))
	}
	return all, err
}

func (p *Provider) ensureKey(ctx context.Context, w *provider.Key) (provider.Resource, error) {
	all, err := p.listKeys(ctx, named(w)...)
	if r := first(all, func(r *provider.Resource) *string { return &r.ID }); err != nil || r != nil {
		return deref(r), err
	}
	name := plainName(w.Stack, w.Name)
	tags := labels(w)
	o, err := p.ec2.ImportKeyPair(ctx, &api.ImportKeyPairInput{
		KeyName: aws.String(name), PublicKeyMaterial: []byte(w.Public),
		TagSpecifications: specs(tags, types.ResourceTypeKeyPair),
	})
	if code(err) != "InvalidKeyPair.Duplicate" {
		if err != nil {
			return provider.Resource{}, err
		}
		return labelled(o.KeyPairId, tags), shows(ctx, p, p.keys, named(w)...)
	}
	all, err = p.listKeys(ctx, filter("key-name", name))
	if err != nil {
		return provider.Resource{}, err
	}
	if len(all) == 0 {
		return provider.Resource{}, errLate
	}
	if r := all[0]; r.Kind != provider.KindKey || r.Stack != w.Stack || r.Name != w.Name {
		return provider.Resource{}, fmt.Errorf("key pair %q does not have our labels: %w", name, provider.ErrTaken)
	}
	return all[0], nil
}

func (p *Provider) removeKey(ctx context.Context, r provider.Resource) error {
	all, err := p.keys(ctx, filter("key-pair-id", r.ID))
	if err != nil || len(all) == 0 {
		return err
	}
	if !bear(all[0].Tags, r) {
		return notOurs(r)
	}
	_, err = p.ec2.DeleteKeyPair(ctx, &api.DeleteKeyPairInput{KeyPairId: aws.String(r.ID)})
	if isGone(err) {
		return nil
	}
	return err
}
