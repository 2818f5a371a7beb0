package ec2fake

import (
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// query is a request's form.
type query struct{ url.Values }

func (q query) get(name string) string { return q.Get(name) }

// list is the values of name.1, name.2 and so on.
func (q query) list(name string) []string {
	var all []string
	for n := 1; q.Has(fmt.Sprintf("%s.%d", name, n)); n++ {
		all = append(all, q.Get(fmt.Sprintf("%s.%d", name, n)))
	}
	return all
}

// tags are those that a request has a resource of a type made with.
func (q query) tags(made string) map[string]string {
	tags := make(map[string]string)
	for n := 1; q.Has(fmt.Sprintf("TagSpecification.%d.ResourceType", n)); n++ {
		if q.get(fmt.Sprintf("TagSpecification.%d.ResourceType", n)) == made {
			q.tagList(fmt.Sprintf("TagSpecification.%d.Tag", n), tags)
		}
	}
	return tags
}

func (q query) tagList(at string, into map[string]string) {
	for n := 1; q.Has(fmt.Sprintf("%s.%d.Key", at, n)); n++ {
		into[q.get(fmt.Sprintf("%s.%d.Key", at, n))] = q.get(fmt.Sprintf("%s.%d.Value", at, n))
	}
}

// String is the action and then each parameter, sorted, on a line of its own.
func (q query) String() string {
	lines := []string{q.get("Action")}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range q.Values {
			if name != "Action" && name != "Version" && !yield(name) {
				return
			}
		}
	}) {
		lines = append(lines, "  "+name+"="+q.get(name))
	}
	return strings.Join(lines, "\n")
}

// el is an element with elements in it.
func el(name string, inner ...string) string {
	return "<" + name + ">" + strings.Join(inner, "") + "</" + name + ">"
}

// text is an element with text in it, none for the empty one.
func text(name, value string) string {
	if value == "" {
		return ""
	}
	var b strings.Builder
	xml.EscapeText(&b, []byte(value))
	return el(name, b.String())
}

// began is when everything began: the fake has no clock.
func began() string { return time.Unix(1_700_000_000, 0).UTC().Format(time.RFC3339) }
