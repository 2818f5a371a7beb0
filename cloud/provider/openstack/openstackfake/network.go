package openstackfake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// one is what a collection of neutron calls one of its rows.
func one(collection string) string {
	return strings.TrimSuffix(strings.ReplaceAll(collection, "-", "_"), "s")
}

// network is neutron.
func (c *Cloud) network() {
	const base = "/network/v2.0/"
	for collection, make := range map[string]func(object) *problem{
		"networks": c.makeNetwork, "subnets": c.makeSubnet, "routers": c.makeRouter, "ports": c.makePort,
		"floatingips": c.makeAddress, "security-groups": c.makeGroup, "security-group-rules": c.makeRule,
	} {
		single, missing := one(collection), func(r *http.Request) problem {
			return problem{404, "NeutronError", collection + " " + r.PathValue("id") + " could not be found."}
		}
		c.handle("GET "+base+collection, func(r *http.Request, _ object) (int, any) {
			var some []object
			for _, row := range c.rows(collection) {
				if fits(row, r) {
					some = append(some, c.shown(collection, row))
				}
			}
			return 200, c.linked(r, single+"s", some)
		})
		c.handle("POST "+base+collection, func(_ *http.Request, body object) (int, any) {
			if c.full(collection) {
				return 0, problem{409, "NeutronError", "Quota exceeded for resources: ['" + single + "']."}
			}
			row := inner(body, single)
			row["created_at"], row["status"], row["tags"] = now()+"Z", "ACTIVE", []any{}
			if p := make(row); p != nil {
				return 0, *p
			}
			return 201, object{single: c.shown(collection, row)}
		})
		c.handle("GET "+base+collection+"/{id}", func(r *http.Request, _ object) (int, any) {
			if row := c.get(collection, r.PathValue("id")); row != nil {
				return 200, object{single: c.shown(collection, row)}
			}
			return 0, missing(r)
		})
		c.handle("PUT "+base+collection+"/{id}", func(r *http.Request, body object) (int, any) {
			row := c.get(collection, r.PathValue("id"))
			if row == nil {
				return 0, missing(r)
			}
			changes := inner(body, single)
			if collection == "floatingips" {
				if p := c.reachable(row, text(changes, "port_id")); p != nil {
					return 0, *p
				}
			}
			for k, v := range changes {
				row[k] = v
			}
			return 200, object{single: c.shown(collection, row)}
		})
		c.handle("PUT "+base+collection+"/{id}/tags", func(r *http.Request, body object) (int, any) {
			row := c.get(collection, r.PathValue("id"))
			if row == nil {
				return 0, missing(r)
			}
			tags, _ := body["tags"].([]any)
			for _, t := range tags {
				if s, _ := t.(string); len(s) > 60 {
					return 0, problem{400, "NeutronError", "Invalid input for tags."}
				}
			}
			row["tags"] = tags
			return 200, object{"tags": tags}
		})
		c.handle("DELETE "+base+collection+"/{id}", func(r *http.Request, _ object) (int, any) {
			if c.get(collection, r.PathValue("id")) == nil {
				return 0, missing(r)
			}
			if p := c.drop(collection, r.PathValue("id")); p != nil {
				return 0, *p
			}
			return 204, nil
		})
	}
	c.handle("PUT "+base+"routers/{id}/add_router_interface", c.addInterface)
	c.handle("PUT "+base+"routers/{id}/remove_router_interface", c.removeInterface)
}

// fits says whether a row has what the query asks for.
func fits(row object, r *http.Request) bool {
	for key, values := range r.URL.Query() {
		switch key {
		case "limit", "marker":
		case "fixed_ips":
			list, _ := row["fixed_ips"].([]any)
			want := strings.TrimPrefix(values[0], "ip_address=")
			if !slices.ContainsFunc(list, func(i any) bool { return text(i.(object), "ip_address") == want }) {
				return false
			}
		default:
			has := row[key]
			if has == nil {
				has = false
			}
			if fmt.Sprint(has) != values[0] {
				return false
			}
		}
	}
	return true
}

// shown is a row with what neutron adds to it.
func (c *Cloud) shown(collection string, row object) object {
	if collection != "security-groups" {
		return row
	}
	rules := []object{}
	for _, r := range c.rows("security-group-rules") {
		if r["security_group_id"] == row["id"] {
			rules = append(rules, r)
		}
	}
	row["security_group_rules"] = rules
	return row
}

func conflict(format string, a ...any) *problem {
	return &problem{409, "NeutronError", fmt.Sprintf(format, a...)}
}

func (c *Cloud) makeNetwork(n object) *problem {
	n["subnets"] = []any{}
	c.insert("networks", n)
	return nil
}

func (c *Cloud) makeSubnet(s object) *problem {
	n := c.get("networks", text(s, "network_id"))
	if n == nil {
		return &problem{404, "NeutronError", "Network could not be found."}
	}
	if _, err := netip.ParsePrefix(text(s, "cidr")); err != nil {
		return &problem{400, "NeutronError", "Invalid input for cidr."}
	}
	n["subnets"] = append(n["subnets"].([]any), c.insert("subnets", s))
	return nil
}

func (c *Cloud) makeRouter(r object) *problem {
	out := c.get("networks", text(inner(r, "external_gateway_info"), "network_id"))
	if out == nil || out["router:external"] != true {
		return &problem{400, "NeutronError", "Network is not a valid external network."}
	}
	c.insert("routers", r)
	return nil
}

// subnetOf is the subnet of a network.
func (c *Cloud) subnetOf(network string) object {
	for _, s := range c.rows("subnets") {
		if s["network_id"] == network {
			return s
		}
	}
	return nil
}

// held says whether a port of a network has an address.
func (c *Cloud) held(network, address string) bool {
	return slices.ContainsFunc(c.rows("ports"), func(p object) bool {
		list, _ := p["fixed_ips"].([]any)
		return p["network_id"] == network && len(list) > 0 && text(list[0].(object), "ip_address") == address
	})
}

func (c *Cloud) makePort(p object) *problem {
	network := text(p, "network_id")
	s := c.subnetOf(network)
	if s == nil {
		return &problem{404, "NeutronError", "Network has no subnet."}
	}
	groups, _ := p["security_groups"].([]any)
	for _, g := range groups {
		if c.get("security-groups", g.(string)) == nil {
			return &problem{404, "NeutronError", "Security group does not exist"}
		}
	}
	prefix, err := netip.ParsePrefix(text(s, "cidr"))
	if err != nil {
		return &problem{500, "NeutronError", err.Error()}
	}
	address := ""
	if list, _ := p["fixed_ips"].([]any); len(list) > 0 {
		address = text(list[0].(object), "ip_address")
	}
	if address == "" {
		a := prefix.Addr().Next().Next()
		for c.held(network, a.String()) {
			a = a.Next()
		}
		address = a.String()
	} else if c.held(network, address) {
		return conflict("IP address %s already allocated in subnet %s", address, s["id"])
	}
	if a, err := netip.ParseAddr(address); err != nil || !prefix.Contains(a) {
		return &problem{400, "NeutronError", "IP address is not a valid IP for the specified subnet."}
	}
	p["fixed_ips"] = []any{object{"subnet_id": s["id"], "ip_address": address}}
	if p["device_id"] == nil {
		p["device_id"], p["device_owner"] = "", ""
	}
	p["created_at"], p["updated_at"] = now()+"Z", now()+"Z"
	c.insert("ports", p)
	return nil
}

func (c *Cloud) makeAddress(a object) *problem {
	out := c.get("networks", text(a, "floating_network_id"))
	if out == nil || out["router:external"] != true {
		return &problem{400, "NeutronError", "Network is not a valid external network."}
	}
	c.serial++
	a["floating_ip_address"], a["port_id"] = fmt.Sprintf("203.0.%d.%d", 112+c.serial/250, 1+c.serial%250), nil
	c.insert("floatingips", a)
	return nil
}

// reachable says whether a floating address can lead to a port: a router has an interface in the port's network.
func (c *Cloud) reachable(address object, port string) *problem {
	if port == "" {
		return nil
	}
	p := c.get("ports", port)
	if p == nil {
		return &problem{404, "NeutronError", "Port " + port + " could not be found."}
	}
	for _, i := range c.rows("ports") {
		if i["device_owner"] == "network:router_interface" && i["network_id"] == p["network_id"] {
			return nil
		}
	}
	return &problem{404, "NeutronError",
		fmt.Sprintf("External network %s is not reachable from subnet.", address["floating_network_id"])}
}

func (c *Cloud) makeGroup(g object) *problem {
	id := c.insert("security-groups", g)
	for _, family := range []string{"IPv4", "IPv6"} {
		c.insert("security-group-rules", object{"security_group_id": id, "direction": "egress", "ethertype": family})
	}
	return nil
}

func (c *Cloud) makeRule(r object) *problem {
	if c.get("security-groups", text(r, "security_group_id")) == nil {
		return &problem{404, "NeutronError", "Security group does not exist"}
	}
	for _, o := range c.rows("security-group-rules") {
		same := true
		for _, key := range []string{"security_group_id", "direction", "ethertype", "protocol", "port_range_min",
			"port_range_max", "remote_ip_prefix"} {
			same = same && o[key] == r[key]
		}
		if same {
			return conflict("Security group rule already exists. Rule id is %s.", o["id"])
		}
	}
	c.insert("security-group-rules", r)
	return nil
}

// drop deletes a row that nothing uses, with what belongs to it.
func (c *Cloud) drop(collection, id string) *problem {
	for _, p := range c.rows("ports") {
		groups, _ := p["security_groups"].([]any)
		uses := collection == "networks" && p["network_id"] == id || collection == "routers" && p["device_id"] == id ||
			collection == "security-groups" && slices.Contains(groups, any(id))
		if uses {
			return conflict("Unable to complete operation on %s %s. One or more ports have it in use.", collection, id)
		}
	}
	switch collection {
	case "networks":
		for _, s := range c.rows("subnets") {
			if s["network_id"] == id {
				c.remove("subnets", text(s, "id"))
			}
		}
	case "ports":
		if c.get("ports", id)["device_owner"] == "network:router_interface" {
			return conflict("Port %s cannot be deleted directly via the port API: "+
				"has device owner network:router_interface.", id)
		}
		c.free(id)
	case "security-groups":
		for _, r := range c.rows("security-group-rules") {
			if r["security_group_id"] == id {
				c.remove("security-group-rules", text(r, "id"))
			}
		}
	}
	c.remove(collection, id)
	return nil
}

// free has no floating address lead to a port.
func (c *Cloud) free(port string) {
	for _, a := range c.rows("floatingips") {
		if a["port_id"] == port {
			a["port_id"] = nil
		}
	}
}

func (c *Cloud) addInterface(r *http.Request, body object) (int, any) {
	s := c.get("subnets", text(body, "subnet_id"))
	if s == nil || c.get("routers", r.PathValue("id")) == nil {
		return 0, problem{404, "NeutronError", "Router or subnet could not be found."}
	}
	p := object{
		"network_id": s["network_id"], "device_id": r.PathValue("id"), "device_owner": "network:router_interface",
		"fixed_ips": []any{object{"ip_address": s["gateway_ip"]}}, "status": "ACTIVE", "description": "",
	}
	if problem := c.makePort(p); problem != nil {
		return 0, *problem
	}
	return 200, object{"id": r.PathValue("id"), "port_id": p["id"], "subnet_id": s["id"]}
}

func (c *Cloud) removeInterface(r *http.Request, body object) (int, any) {
	p := c.get("ports", text(body, "port_id"))
	if p == nil || p["device_id"] != r.PathValue("id") {
		return 0, problem{404, "NeutronError", "Router has no such interface."}
	}
	for _, a := range c.rows("floatingips") {
		if o := c.get("ports", text(a, "port_id")); o != nil && o["network_id"] == p["network_id"] {
			return 0, *conflict("Router interface for subnet cannot be deleted, " +
				"as it is required by one or more floating IPs.")
		}
	}
	c.remove("ports", text(p, "id"))
	return 200, object{"id": r.PathValue("id"), "port_id": p["id"]}
}
