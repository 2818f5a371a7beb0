package openstack

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"griddle/cloud/provider"
)

// labels are what a resource bears.
type labels struct {
	kind              provider.Kind
	stack, name, want string
	done              bool // of a network: all its parts were made
}

// What the parts of resources bear as their kind; their name is that of the resource.
const (
	partSubnet provider.Kind = "subnet"
	partRouter provider.Kind = "router"
	partPort   provider.Kind = "port"
)

func labelsOf(w provider.Want) labels {
	kind, stack, name := w.Identity()
	return labels{kind: kind, stack: stack, name: name, want: w.Fingerprint()}
}

// part is the labels of a part of the resource that bears l.
func (l labels) part(kind provider.Kind) labels {
	return labels{kind: kind, stack: l.stack, name: l.name}
}

// same says whether both mean the same resource.
func (l labels) same(o labels) bool {
	return l.kind == o.kind && l.stack == o.stack && l.name == o.name
}

// title is the name at the cloud, for people: nothing is found by it.
func (l labels) title() string { return l.stack + "." + l.name }

// describe writes labels as a neutron description: at most 236 of its 255 characters.
//
//	griddle stack=demo kind=network name=net want=64 hex digits done
func (l labels) describe() string {
	s := fmt.Sprintf("griddle stack=%s kind=%s name=%s", l.stack, l.kind, l.name)
	if l.want != "" {
		s += " want=" + l.want
	}
	if l.done {
		s += " done"
	}
	return s
}

// parseDescription reads what describe wrote; false for every other description.
func parseDescription(s string) (labels, bool) {
	rest, ok := strings.CutPrefix(s, "griddle ")
	if !ok || len(s) > 255 {
		return labels{}, false
	}
	var l labels
	for field := range strings.SplitSeq(rest, " ") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "stack":
			l.stack = value
		case "kind":
			l.kind = provider.Kind(value)
		case "name":
			l.name = value
		case "want":
			l.want = value
		case "done":
			l.done = true
		}
	}
	return l, l.stack != "" && l.kind != "" && l.name != "" && l.describe() == s
}

// metadata writes labels for nova and cinder.
func (l labels) metadata() map[string]string {
	return map[string]string{
		provider.LabelStack: l.stack, provider.LabelKind: string(l.kind), provider.LabelName: l.name,
		provider.LabelWant: l.want,
	}
}

// parseMetadata reads what metadata wrote; false where the labels are not there.
func parseMetadata(m map[string]string) (labels, bool) {
	l := labels{
		stack: m[provider.LabelStack], kind: provider.Kind(m[provider.LabelKind]), name: m[provider.LabelName],
		want: m[provider.LabelWant],
	}
	return l, l.stack != "" && l.kind != "" && l.name != ""
}

// tags are labels as far as neutron takes them: 60 characters each, before its release of 2024.
func (l labels) tags() []string {
	all := []string{provider.LabelKind + "=" + string(l.kind), provider.LabelStack + "=" + l.stack}
	if t := provider.LabelName + "=" + l.name; len(t) <= 60 {
		all = append(all, t)
	}
	return all
}

// taken is the error for what does not have the labels of r.
func taken(r provider.Resource) error {
	return fmt.Errorf("%s does not have the labels of %q: %w", r.ID, r.Name, provider.ErrTaken)
}

// owns says whether what bears l is r.
func owns(l labels, ok bool, r provider.Resource) bool {
	return ok && l.same(labels{kind: r.Kind, stack: r.Stack, name: r.Name})
}

func byName(a, b provider.Resource) int { return cmp.Compare(a.Name, b.Name) }

// made is what a resource's age is told by: which of two with the same labels stays.
type made struct {
	id string
	at time.Time
}

func (m made) before(o made) bool {
	return cmp.Or(m.at.Compare(o.at), cmp.Compare(m.id, o.id)) < 0
}

// oldest returns the oldest of several, which stays where two programs made the same.
func oldest[T any](all []T, age func(T) made) (T, bool) {
	var first T
	for i, t := range all {
		if i == 0 || age(t).before(age(first)) {
			first = t
		}
	}
	return first, len(all) > 0
}
