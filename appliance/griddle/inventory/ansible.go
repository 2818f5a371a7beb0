package inventory

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/job"
	"griddle/imagestore/ref"
)

// ansible is an inventory as Ansible's script plugin reads it
// (docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html, "Developing inventory scripts").
//
// Ansible evaluates templates in variables of an inventory when it uses them, which can run programs on the computer of
// the operator. Machines choose some of these strings, so none has a brace (harmless).
type ansible struct {
	vars     map[string]map[string]any // by host
	groups   map[string][]string       // hosts by group
	warnings []string                  // whole sentences
}

// everyGroup is the group that has all machines. The names of all other groups begin with it and an underscore, which
// the name of no machine has.
const everyGroup = "griddle"

// reserved are names of groups, which Ansible would take for these.
var reserved = []string{"all", "ungrouped", everyGroup}

// forAnsible makes an inventory of the machines that an operator named: what others are called, anyone on the network
// can choose.
func forAnsible(all []api.Machine) ansible {
	out := ansible{vars: map[string]map[string]any{}, groups: map[string][]string{everyGroup: {}}}
	addresses, shared := map[string]string{}, map[string]int{}
	var other []string                                                 // hosts that are not called as their machines
	kinds := map[string]map[string][]string{"status": {}, "image": {}} // hosts by kind and name
	for _, m := range all {
		if m.Claimed {
			continue
		}
		host := hostname(m.Name)
		if host != m.Name {
			other = append(other, host)
		}
		out.vars[host] = variables(m)
		out.groups[everyGroup] = append(out.groups[everyGroup], host)
		if a := address(m); a != "" {
			addresses[host] = a
			shared[a]++
		}
		add := func(kind, name string) {
			if name != "" {
				kinds[kind][name] = append(kinds[kind][name], host)
			}
		}
		add("status", m.Status)
		add("image", template(m))
	}
	if len(other) > 0 {
		out.warnings = append(out.warnings, "the names of these machines mean something else to Ansible, so they are "+
			"called otherwise: "+strings.Join(other, ", "))
	}
	for host, a := range addresses {
		if shared[a] == 1 { // several machines behind one address cannot be told apart
			out.vars[host]["ansible_host"] = a
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		out.add(kind, kinds[kind])
	}
	return out
}

// add adds the groups of a kind. Names that are one in Ansible's letters become groups of their own, with a part of
// their hash: machines of the one are never those of the other.
func (a *ansible) add(kind string, hosts map[string][]string) {
	same := map[string][]string{}
	for name := range hosts {
		same[groupName(kind, name)] = append(same[groupName(kind, name)], name)
	}
	for _, group := range slices.Sorted(maps.Keys(same)) {
		names := slices.Sorted(slices.Values(same[group]))
		for _, name := range names {
			own := group
			if len(names) > 1 {
				own = fmt.Sprintf("%s_%x", group, sha256.Sum256([]byte(name)))[:len(group)+9]
				a.warnings = append(a.warnings, fmt.Sprintf("the %s %s is the group %s, because %d of them would be %s",
					kind, job.Printable(name), own, len(names), group))
			}
			a.groups[own] = append(a.groups[own], hosts[name]...)
		}
	}
}

// list is what Ansible gets for --list.
func (a *ansible) list() map[string]any {
	out := map[string]any{"_meta": map[string]any{"hostvars": a.vars}}
	for group, hosts := range a.groups {
		out[group] = map[string]any{"hosts": hosts}
	}
	return out
}

// host is what it gets for --host. A host that there is not has no variables.
func (a *ansible) host(name string) map[string]any {
	if v := a.vars[name]; v != nil {
		return v
	}
	return map[string]any{}
}

// hostname is the name of a machine where Ansible does not misread it, and does not connect to this computer for it. An
// underscore is in no name of a machine.
func hostname(name string) string {
	safe, low := letters(name, "-."), strings.ToLower(name)
	if safe != name || name == "" || slices.Contains(reserved, low) || numeric(low) ||
		strings.Contains(low, "localhost") || strings.Contains(low, "loopback") {
		return "machine_" + safe
	}
	return name
}

// numeric says whether the resolver takes a name for an address, as it does 127.1, 0x7f000001 and 0 (inet_aton(3)).
func numeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	digits := strings.TrimPrefix(last, "0x")
	set := "0123456789"
	if digits != last {
		set += "abcdef"
	}
	return strings.Trim(digits, set) == ""
}

// groupName is the name of a group: letters, digits and underscores (Ansible's TRANSFORM_INVALID_GROUP_CHARS).
func groupName(kind, name string) string { return everyGroup + "_" + kind + "_" + letters(name, "") }

// letters replaces runs of what is neither an ASCII letter or digit nor one of also by an underscore.
func letters(s, also string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(also, r):
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	return b.String()
}

// variables are what a playbook can use of a machine.
func variables(m api.Machine) map[string]any {
	out := map[string]any{"griddle_name": harmless(m.Name), "griddle_id": harmless(m.ID),
		"griddle_status": harmless(m.Status), "griddle_macs": []string{}}
	for name, value := range map[string]string{"griddle_uuid": m.Identity.UUID, "griddle_serial": m.Identity.Serial,
		"griddle_vendor": m.Identity.Vendor, "griddle_product": m.Identity.Product, "griddle_image": image(m)} {
		if value = harmless(value); value != "" {
			out[name] = value
		}
	}
	for _, mac := range m.Identity.MACs {
		out["griddle_macs"] = append(out["griddle_macs"].([]string), harmless(mac))
	}
	if !m.LastSeen.IsZero() {
		out["griddle_last_seen"] = m.LastSeen.UTC().Format(time.RFC3339)
	}
	return out
}

// harmless makes a string from outside one that no template engine takes for a template: Jinja2's begin with a brace.
func harmless(s string) string {
	return strings.NewReplacer("{", "(", "}", ")").Replace(job.Sentence(s))
}

// image is the image that runs on a machine.
func image(m api.Machine) string {
	if m.Deployed == nil {
		return ""
	}
	return m.Deployed.Image
}

// template is the name of that image without version and architecture.
func template(m api.Machine) string {
	r, err := ref.Parse(image(m))
	if err != nil {
		return ""
	}
	return ref.Ref{Namespace: r.Namespace, Name: r.Name}.String()
}

// address is the IPv4 address from which the service on a machine last proved the machine's key; "" for none that
// another computer can use.
func address(m api.Machine) string {
	if m.Service == nil {
		return ""
	}
	a, err := netip.ParseAddr(m.Service.From)
	if err != nil || !a.Is4() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() {
		return ""
	}
	return a.String()
}
