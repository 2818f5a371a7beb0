package ec2fake

import (
	"maps"
	"slices"

	"griddle/cloud/provider"
)

// Resource is a resource as it is at the fake.
type Resource struct {
	Type  string // as in tag specifications: vpc, instance
	ID    string
	State string
	Tags  map[string]string
	About map[string]string // such as cidr, vpc, boot, tokens
}

func (o *object) resource() Resource {
	return Resource{o.kind, o.id, o.state, maps.Clone(o.tags), maps.Clone(o.a)}
}

// All returns all that is there, terminated instances too.
func (f *Fake) All() []Resource {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Resource
	for _, o := range f.all {
		all = append(all, o.resource())
	}
	return all
}

// Of returns what is there of a type, without terminated instances.
func (f *Fake) Of(kind string) []Resource {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Resource
	for _, o := range f.of(kind, nil) {
		all = append(all, o.resource())
	}
	return all
}

// Trace returns the requests so far that change something, in order, each with its parameters.
func (f *Fake) Trace() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.trace)
}

// Expire has the credentials be refused from now on, or no longer.
func (f *Fake) Expire(expired bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expired = expired
}

// hand changes an object behind the client's back; false where there is none.
func (f *Fake) hand(id string, do func(*object)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := slices.IndexFunc(f.all, func(o *object) bool { return o.id == id })
	if n >= 0 {
		do(f.all[n])
	}
	return n >= 0
}

// Delete deletes a resource by hand, and says whether it existed.
func (f *Fake) Delete(id string) bool {
	return f.hand(id, func(o *object) {
		if o.kind == "instance" {
			f.end(o, "Client.UserInitiatedShutdown")
			return
		}
		f.drop(o)
	})
}

// end is Terminate for who holds the object.
func (f *Fake) end(o *object, reason string) {
	o.a["reason"], o.next = reason, nil
	o.state = "terminated"
	f.terminated(o)
}

// Terminate has EC2 end an instance by itself, for a reason such as Client.VolumeLimitExceeded.
func (f *Fake) Terminate(id, reason string) bool {
	return f.hand(id, func(o *object) { f.end(o, reason) })
}

// FailSnapshot has EBS give a snapshot up.
func (f *Fake) FailSnapshot(id, message string) bool {
	return f.hand(id, func(o *object) { o.state, o.next, o.a["message"] = "error", nil, message })
}

// Print has an instance write to its serial console.
func (f *Fake) Print(id, s string) bool {
	return f.hand(id, func(o *object) { o.a["console"] += s })
}

// Tag changes a tag by hand.
func (f *Fake) Tag(id, key, value string) bool {
	return f.hand(id, func(o *object) { o.tags[key] = value })
}

// Block is a block of a snapshot, nil where none was written.
func (f *Fake) Block(snapshot string, index int) []byte {
	var b []byte
	f.hand(snapshot, func(o *object) { b = slices.Clone(o.data[index]) })
	return b
}

// Rules are the rules of a security group that let packets in.
func (f *Fake) Rules(group string) []provider.Rule {
	var all []provider.Rule
	f.hand(group, func(o *object) {
		for _, r := range o.rules {
			p := provider.Rule{Protocol: r.protocol, Source: r.source}
			if r.protocol == "icmpv6" {
				p.Protocol = "icmp"
			} else if r.from > 0 {
				p.From, p.To = uint16(r.from), uint16(r.to)
			}
			all = append(all, p)
		}
	})
	return all
}

// Foreign makes a resource with a name of its own and without our labels, as another user would. It returns its ID.
func (f *Fake) Foreign(kind, name, vpc string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, err := f.add(kind, map[string]string{"owner": "someone"}, map[string]string{"name": name, "vpc": vpc})
	if err != nil {
		panic(err)
	}
	o.lag = 0
	return o.id
}
