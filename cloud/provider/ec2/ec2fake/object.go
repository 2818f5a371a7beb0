package ec2fake

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// object is a resource: what it is, and what is said of it.
type object struct {
	kind  string // type as in tag specifications
	id    string
	tags  map[string]string
	a     map[string]string // attributes, by names of ours
	state string
	next  []string // states to come
	steps int      // answers until the next one
	lag   int      // answers that do not have it yet

	list   []string       // groups of an interface, name servers of DHCP options
	rules  []*groupRule   // of a security group
	blocks map[int]string // digests of a snapshot's blocks
	data   map[int][]byte // and the blocks
}

// prefixes are those of IDs.
func prefix(kind string) string {
	return map[string]string{
		"vpc": "vpc", "subnet": "subnet", "internet-gateway": "igw", "route-table": "rtb", "dhcp-options": "dopt",
		"security-group": "sg", "network-interface": "eni", "elastic-ip": "eipalloc", "volume": "vol", "instance": "i",
		"image": "ami", "snapshot": "snap", "key-pair": "key", "association": "eipassoc", "security-group-rule": "sgr",
	}[kind]
}

func (f *Fake) newID(kind string) string {
	f.serial[kind]++
	return fmt.Sprintf("%s-%017x", prefix(kind), f.serial[kind])
}

// quotaCode is the error for one too many.
func quotaCode(kind string) string {
	return map[string]string{
		"vpc": "VpcLimitExceeded", "internet-gateway": "InternetGatewayLimitExceeded",
		"security-group": "SecurityGroupLimitExceeded", "elastic-ip": "AddressLimitExceeded",
		"volume": "VolumeLimitExceeded", "instance": "VcpuLimitExceeded", "subnet": "SubnetLimitExceeded",
	}[kind]
}

// add makes an object.
func (f *Fake) add(kind string, tags, a map[string]string) (*object, error) {
	if most, limited := f.Quota[kind]; limited && len(f.of(kind, nil)) >= most {
		return nil, refuse(quotaCode(kind), "The maximum number of %ss has been reached.", kind)
	}
	o := &object{kind: kind, id: f.newID(kind), tags: maps.Clone(tags), a: a, lag: f.Lag}
	f.all = append(f.all, o)
	return o, nil
}

// of are the objects of a kind for which match holds.
func (f *Fake) of(kind string, match func(*object) bool) []*object {
	var some []*object
	for _, o := range f.all {
		if o.kind == kind && o.state != "terminated" && (match == nil || match(o)) {
			some = append(some, o)
		}
	}
	return some
}

// with is a match by one attribute.
func with(name, value string) func(*object) bool {
	return func(o *object) bool { return o.a[name] == value }
}

// find is the object with an ID; notFound is the error's code otherwise.
func (f *Fake) find(kind, id, notFound string) (*object, error) {
	for _, o := range f.all {
		if o.kind == kind && o.id == id {
			return o, nil
		}
	}
	return nil, refuse(notFound, "The %s ID '%s' does not exist", kind, id)
}

func (f *Fake) drop(o *object) {
	f.all = slices.DeleteFunc(f.all, func(other *object) bool { return other == o })
}

// become has an object go through states, the last of which stays.
func (f *Fake) become(o *object, states ...string) {
	o.state, o.next, o.steps = states[0], states[1:], f.Steps
	for f.Steps == 0 && len(o.next) > 0 {
		f.advance(o)
	}
}

// advance is what an answer that shows o does.
func (f *Fake) advance(o *object) {
	if len(o.next) == 0 {
		return
	}
	if o.steps--; o.steps > 0 {
		return
	}
	o.state, o.next, o.steps = o.next[0], o.next[1:], f.Steps
	f.reached(o)
}

// reached does what comes with a state.
func (f *Fake) reached(o *object) {
	switch o.kind + " " + o.state {
	case "instance terminated":
		f.terminated(o)
	case "instance stopped":
		delete(o.a, "public")
	case "instance running":
		f.givePublic(o)
	case "volume available":
		delete(o.a, "instance")
		delete(o.a, "device")
	case "volume deleted", "image deregistered":
		f.drop(o)
	}
}

// filters gives the values that an object has for a filter besides tags; nil for an unknown filter.
type filters func(o *object, name string) []string

// describe is the answer to a request for a kind: what its filters let through, a page of it, each shown by item.
func (f *Fake) describe(q query, kind, set string, has filters, item func(*object) string) (string, error) {
	var some []*object
	for _, o := range f.all {
		if o.kind != kind {
			continue
		}
		ok, err := f.passes(q, o, has)
		if err != nil {
			return "", err
		}
		if !ok {
			continue
		}
		if o.lag > 0 {
			o.lag--
			continue
		}
		some = append(some, o)
	}
	if len(f.all) == 0 {
		if _, err := f.passes(q, &object{}, has); err != nil {
			return "", err
		}
	}
	from, to, next, err := f.page(q, len(some))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, o := range some[from:to] {
		b.WriteString(el("item", item(o)))
	}
	for _, o := range some[from:to] {
		f.advance(o)
	}
	return el(set, b.String()) + text("nextToken", next), nil
}

// page is the bounds of the page that is asked for.
func (f *Fake) page(q query, n int) (from, to int, next string, err error) {
	most := n
	if s := q.get("MaxResults"); s != "" {
		size, err := strconv.Atoi(s)
		if err != nil || size < 5 || size > 1000 {
			return 0, 0, "", refuse("InvalidParameterValue", "Value ( %s ) for parameter maxResults is invalid.", s)
		}
		if most = size; f.Page > 0 {
			most = min(size, f.Page)
		}
	}
	if s := q.get("NextToken"); s != "" {
		if from, err = strconv.Atoi(strings.TrimPrefix(s, "after ")); err != nil {
			return 0, 0, "", refuse("InvalidNextToken", "The token '%s' is invalid", s)
		}
	}
	from = min(from, n)
	if to = min(n, from+most); to < n {
		next = fmt.Sprintf("after %d", to)
	}
	return from, to, next, nil
}

// passes says whether an object has, for each filter, one of its values.
func (f *Fake) passes(q query, o *object, has filters) (bool, error) {
	pass := true
	for n := 1; q.Has(fmt.Sprintf("Filter.%d.Name", n)); n++ {
		name, wants := q.get(fmt.Sprintf("Filter.%d.Name", n)), q.list(fmt.Sprintf("Filter.%d.Value", n))
		if len(wants) == 0 {
			return false, refuse("InvalidParameterValue", "The filter '%s' has no value", name)
		}
		var values []string
		if key, ok := strings.CutPrefix(name, "tag:"); ok {
			if v, ok := o.tags[key]; ok {
				values = []string{v}
			}
		} else if values = has(o, name); values == nil {
			return false, refuse("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		pass = pass && slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(wants, func(w string) bool { return glob(w, v) })
		})
	}
	return pass, nil
}

// glob matches * and ? as EC2's filters do.
func glob(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	switch pattern[0] {
	case '*':
		return glob(pattern[1:], s) || s != "" && glob(pattern, s[1:])
	case '?':
		return s != "" && glob(pattern[1:], s[1:])
	}
	return s != "" && s[0] == pattern[0] && glob(pattern[1:], s[1:])
}

// tagSet is an object's tags in an answer.
func (o *object) tagSet() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(o.tags)) {
		b.WriteString(el("item", text("key", key), text("value", o.tags[key])))
	}
	return el("tagSet", b.String())
}

func (f *Fake) createTags(q query) (string, error) {
	tags := make(map[string]string)
	q.tagList("Tag", tags)
	var some []*object
	for _, id := range q.list("ResourceId") {
		n := slices.IndexFunc(f.all, func(o *object) bool { return o.id == id })
		if n < 0 {
			return "", refuse("InvalidID", "The ID '%s' is not valid", id)
		}
		some = append(some, f.all[n])
	}
	for _, o := range some {
		if o.tags == nil {
			o.tags = make(map[string]string)
		}
		maps.Copy(o.tags, tags)
		if len(o.tags) > 50 {
			return "", refuse("TagLimitExceeded", "more than 50 tags")
		}
	}
	return done(), nil
}

// done is the answer to what has nothing to tell.
func done() string { return el("return", "true") }

// made is what a client token made.
type made struct{ request, id string }

// again is the object that the token made before; nil for a new token.
func (f *Fake) again(kind, token, request string) (*object, string, error) {
	if token == "" {
		return nil, "", nil
	}
	before, ok := f.tokens[kind+" "+token]
	if !ok {
		return nil, "", nil
	}
	if before.request != request {
		return nil, "", refuse("IdempotentParameterMismatch",
			"The client token has already been used with other parameters")
	}
	for _, o := range f.all {
		if o.id == before.id {
			return o, o.id, nil
		}
	}
	return nil, before.id, nil
}

func (f *Fake) remember(kind, token, request, id string) {
	if token != "" {
		f.tokens[kind+" "+token] = made{request, id}
	}
}
