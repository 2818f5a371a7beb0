package ec2

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// Tags besides the labels.
const (
	tagName   = "Name"           // what Amazon's console shows
	tagRole   = "griddle-role"   // provider.Server.Role
	tagJoin   = "griddle-join"   // of an instance: joinPending until it has its address and volumes
	tagBlocks = "griddle-blocks" // of a snapshot that is being sent: how many blocks from its start are there
)

// What tagJoin can be; the values are stored.
const joinPending, joinDone = "waits", "done"

// labels are the tags that w's resource bears.
func labels(w provider.Want) []types.Tag {
	kind, stack, name := w.Identity()
	all := []types.Tag{
		tag(tagName, stack+"/"+name),
		tag(provider.LabelKind, string(kind)),
		tag(provider.LabelName, name),
		tag(provider.LabelWant, w.Fingerprint()),
	}
	switch w := w.(type) {
	case *provider.Image:
		all[0] = tag(tagName, name)
		return append(all, tag(provider.LabelDigest, w.Digest))
	case *provider.Server:
		if w.Role != "" {
			all = append(all, tag(tagRole, w.Role))
		}
	}
	return append(all, tag(provider.LabelStack, stack))
}

func tag(key, value string) types.Tag {
	return types.Tag{Key: aws.String(key), Value: aws.String(value)}
}

// value is a tag's value; empty where it is not there.
func value(tags []types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// specs has what a call makes bear the tags from its start.
func specs(tags []types.Tag, made ...types.ResourceType) []types.TagSpecification {
	var all []types.TagSpecification
	for _, m := range made {
		all = append(all, types.TagSpecification{ResourceType: m, Tags: tags})
	}
	return all
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// ofStack are filters for what bears the labels of a kind in a stack.
func ofStack(kind provider.Kind, stack string) []types.Filter {
	return []types.Filter{filter("tag:"+provider.LabelKind, string(kind)), filter("tag:"+provider.LabelStack, stack)}
}

// named are filters for one resource.
func named(w provider.Want) []types.Filter {
	kind, stack, name := w.Identity()
	return append(ofStack(kind, stack), filter("tag:"+provider.LabelName, name))
}

// bear says whether something bears the labels of r: filters take wildcards, and are not trusted with this.
func bear(tags []types.Tag, r provider.Resource) bool {
	return value(tags, provider.LabelKind) == string(r.Kind) && value(tags, provider.LabelStack) == r.Stack &&
		value(tags, provider.LabelName) == r.Name
}

// notOurs is the error for what does not have the labels of r.
func notOurs(r provider.Resource) error {
	return fmt.Errorf("%s does not have the labels of %q: %w", r.ID, r.Name, provider.ErrTaken)
}

// labelled is the part of a resource that its tags tell.
func labelled(id *string, tags []types.Tag) provider.Resource {
	return provider.Resource{
		Kind: provider.Kind(value(tags, provider.LabelKind)), Stack: value(tags, provider.LabelStack),
		Name: value(tags, provider.LabelName), Want: value(tags, provider.LabelWant),
		Digest: value(tags, provider.LabelDigest), ID: aws.ToString(id), State: provider.Ready,
	}
}

// use checks that a resource of the kind with the ID belongs to the stack, so that a server can use it.
func use(tags []types.Tag, kind provider.Kind, id, stack string) error {
	if value(tags, provider.LabelKind) != string(kind) ||
		kind != provider.KindImage && value(tags, provider.LabelStack) != stack {
		return fmt.Errorf("%s %s is not of stack %q: %w", kind, id, stack, provider.ErrInvalid)
	}
	return nil
}

func gone(kind provider.Kind, id string) error {
	return fmt.Errorf("%s %s: %w", kind, id, provider.ErrNotFound)
}
