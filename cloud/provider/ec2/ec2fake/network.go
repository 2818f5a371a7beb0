package ec2fake

import (
	"net/netip"
	"strings"
)

func one(s string) []string { return []string{s} }

func vpcFilters(o *object, name string) []string {
	switch name {
	case "vpc-id":
		return one(o.id)
	case "state":
		return one(o.state)
	case "cidr":
		return one(o.a["cidr"])
	}
	return nil
}

func (f *Fake) vpc(o *object) string {
	return text("vpcId", o.id) + text("state", o.state) + text("cidrBlock", o.a["cidr"]) + text("dhcpOptionsId", o.a["dhcp"]) + o.tagSet()
}

func (f *Fake) describeVpcs(q query) (string, error) {
	return f.describe(q, "vpc", "vpcSet", vpcFilters, f.vpc)
}

// createVpc makes a VPC with its main route table and its default security group, which bear no tags.
func (f *Fake) createVpc(q query) (string, error) {
	cidr, err := netip.ParsePrefix(q.get("CidrBlock"))
	if err != nil || cidr != cidr.Masked() || cidr.Bits() < 16 || cidr.Bits() > 28 {
		return "", refuse("InvalidVpc.Range", "The CIDR '%s' is invalid.", q.get("CidrBlock"))
	}
	o, err := f.add("vpc", q.tags("vpc"), map[string]string{"cidr": cidr.String(), "dhcp": "dopt-default"})
	if err != nil {
		return "", err
	}
	f.become(o, "pending", "available")
	table, _ := f.add("route-table", nil, map[string]string{"vpc": o.id, "main": "true"})
	table.lag = 0
	if _, err := f.add("security-group", nil, map[string]string{"vpc": o.id, "name": "default", "description": "default VPC security group"}); err != nil {
		return "", err
	}
	return el("vpc", f.vpc(o)), nil
}

func (f *Fake) deleteVpc(q query) (string, error) {
	o, err := f.find("vpc", q.get("VpcId"), "InvalidVpcID.NotFound")
	if err != nil {
		return "", err
	}
	for _, kind := range []string{"subnet", "internet-gateway", "network-interface", "security-group"} {
		for _, part := range f.of(kind, with("vpc", o.id)) {
			if kind != "security-group" || part.a["name"] != "default" {
				return "", refuse("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", o.id)
			}
		}
	}
	for _, kind := range []string{"route-table", "security-group"} {
		for _, part := range f.of(kind, with("vpc", o.id)) {
			f.drop(part)
		}
	}
	f.drop(o)
	return done(), nil
}

func inVPC(id string) filters {
	return func(o *object, name string) []string {
		switch name {
		case id:
			return one(o.id)
		case "vpc-id":
			return one(o.a["vpc"])
		}
		return nil
	}
}

func (f *Fake) subnet(o *object) string {
	return text("subnetId", o.id) + text("state", "available") + text("vpcId", o.a["vpc"]) + text("cidrBlock", o.a["cidr"]) +
		text("availabilityZone", o.a["zone"]) + o.tagSet()
}

func (f *Fake) describeSubnets(q query) (string, error) {
	return f.describe(q, "subnet", "subnetSet", inVPC("subnet-id"), f.subnet)
}

func (f *Fake) createSubnet(q query) (string, error) {
	vpc, err := f.find("vpc", q.get("VpcId"), "InvalidVpcID.NotFound")
	if err != nil {
		return "", err
	}
	if vpc.state != "available" {
		return "", refuse("InvalidState", "The VPC is %s", vpc.state)
	}
	cidr, err := netip.ParsePrefix(q.get("CidrBlock"))
	if err != nil || !netip.MustParsePrefix(vpc.a["cidr"]).Overlaps(cidr) {
		return "", refuse("InvalidSubnet.Range", "The CIDR '%s' is invalid.", q.get("CidrBlock"))
	}
	for _, other := range f.of("subnet", with("vpc", vpc.id)) {
		if netip.MustParsePrefix(other.a["cidr"]).Overlaps(cidr) {
			return "", refuse("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", cidr)
		}
	}
	if !strings.HasPrefix(q.get("AvailabilityZone"), "xx-test-1") {
		return "", refuse("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid.", q.get("AvailabilityZone"))
	}
	o, err := f.add("subnet", q.tags("subnet"), map[string]string{"vpc": vpc.id, "cidr": cidr.String(), "zone": q.get("AvailabilityZone")})
	if err != nil {
		return "", err
	}
	return el("subnet", f.subnet(o)), nil
}

func (f *Fake) deleteSubnet(q query) (string, error) {
	o, err := f.find("subnet", q.get("SubnetId"), "InvalidSubnetID.NotFound")
	if err != nil {
		return "", err
	}
	if len(f.of("network-interface", with("subnet", o.id))) > 0 {
		return "", refuse("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", o.id)
	}
	f.drop(o)
	return done(), nil
}

func (f *Fake) gateway(o *object) string {
	attached := ""
	if o.a["vpc"] != "" {
		attached = el("item", text("vpcId", o.a["vpc"]), text("state", "available"))
	}
	return text("internetGatewayId", o.id) + el("attachmentSet", attached) + o.tagSet()
}

func (f *Fake) describeGateways(q query) (string, error) {
	return f.describe(q, "internet-gateway", "internetGatewaySet", func(o *object, name string) []string {
		if name == "attachment.vpc-id" {
			return one(o.a["vpc"])
		}
		return nil
	}, f.gateway)
}

func (f *Fake) createGateway(q query) (string, error) {
	o, err := f.add("internet-gateway", q.tags("internet-gateway"), map[string]string{})
	if err != nil {
		return "", err
	}
	return el("internetGateway", f.gateway(o)), nil
}

func (f *Fake) attachGateway(q query) (string, error) {
	o, err := f.find("internet-gateway", q.get("InternetGatewayId"), "InvalidInternetGatewayID.NotFound")
	if err != nil {
		return "", err
	}
	vpc, err := f.find("vpc", q.get("VpcId"), "InvalidVpcID.NotFound")
	if err != nil {
		return "", err
	}
	if o.a["vpc"] != "" || len(f.of("internet-gateway", with("vpc", vpc.id))) > 0 {
		return "", refuse("Resource.AlreadyAssociated", "resource %s is already attached to network %s", o.id, vpc.id)
	}
	o.a["vpc"] = vpc.id
	return done(), nil
}

func (f *Fake) detachGateway(q query) (string, error) {
	o, err := f.find("internet-gateway", q.get("InternetGatewayId"), "InvalidInternetGatewayID.NotFound")
	if err != nil {
		return "", err
	}
	if o.a["vpc"] == "" || o.a["vpc"] != q.get("VpcId") {
		return "", refuse("Gateway.NotAttached", "resource %s is not attached to network %s", o.id, q.get("VpcId"))
	}
	for _, end := range f.of("network-interface", with("vpc", o.a["vpc"])) {
		if i, err := f.find("instance", end.a["instance"], ""); err == nil && i.a["public"] != "" {
			return "", refuse("DependencyViolation", "Network %s has some mapped public address(es).", o.a["vpc"])
		}
	}
	delete(o.a, "vpc")
	return done(), nil
}

func (f *Fake) deleteGateway(q query) (string, error) {
	o, err := f.find("internet-gateway", q.get("InternetGatewayId"), "InvalidInternetGatewayID.NotFound")
	if err != nil {
		return "", err
	}
	if o.a["vpc"] != "" {
		return "", refuse("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", o.id)
	}
	f.drop(o)
	return done(), nil
}

func (f *Fake) describeRouteTables(q query) (string, error) {
	return f.describe(q, "route-table", "routeTableSet", func(o *object, name string) []string {
		if name == "association.main" {
			return one(o.a["main"])
		}
		return inVPC("route-table-id")(o, name)
	}, func(o *object) string {
		routes := ""
		if o.a["gateway"] != "" {
			state := "active"
			if g, err := f.find("internet-gateway", o.a["gateway"], ""); err != nil || g.a["vpc"] != o.a["vpc"] {
				state = "blackhole"
			}
			routes = el("item", text("destinationCidrBlock", "0.0.0.0/0"), text("gatewayId", o.a["gateway"]), text("state", state))
		}
		return text("routeTableId", o.id) + text("vpcId", o.a["vpc"]) + el("routeSet", routes) + o.tagSet()
	})
}

func (f *Fake) createRoute(q query) (string, error)  { return f.setRoute(q, true) }
func (f *Fake) replaceRoute(q query) (string, error) { return f.setRoute(q, false) }

func (f *Fake) setRoute(q query, fresh bool) (string, error) {
	o, err := f.find("route-table", q.get("RouteTableId"), "InvalidRouteTableID.NotFound")
	if err != nil {
		return "", err
	}
	g, err := f.find("internet-gateway", q.get("GatewayId"), "InvalidGatewayID.NotFound")
	if err != nil {
		return "", err
	}
	switch {
	case q.get("DestinationCidrBlock") != "0.0.0.0/0":
		return "", refuse("InvalidParameterValue", "the fake knows the default route alone")
	case g.a["vpc"] != o.a["vpc"]:
		return "", refuse("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", o.id, g.id)
	case fresh && o.a["gateway"] != "":
		return "", refuse("RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists.")
	}
	o.a["gateway"] = g.id
	return done(), nil
}

func (f *Fake) dhcp(o *object) string {
	values := ""
	for _, v := range o.list {
		values += el("item", text("value", v))
	}
	return text("dhcpOptionsId", o.id) + el("dhcpConfigurationSet", el("item", el("key", "domain-name-servers"), el("valueSet", values))) + o.tagSet()
}

func (f *Fake) describeDhcp(q query) (string, error) {
	return f.describe(q, "dhcp-options", "dhcpOptionsSet", func(o *object, name string) []string {
		if name == "dhcp-options-id" {
			return one(o.id)
		}
		return nil
	}, f.dhcp)
}

func (f *Fake) createDhcp(q query) (string, error) {
	servers := q.list("DhcpConfiguration.1.Value")
	if q.get("DhcpConfiguration.1.Key") != "domain-name-servers" || len(servers) == 0 || len(servers) > 4 {
		return "", refuse("InvalidParameterValue", "Value (%v) for parameter dhcpConfigurations is invalid.", servers)
	}
	o, err := f.add("dhcp-options", q.tags("dhcp-options"), map[string]string{})
	if err != nil {
		return "", err
	}
	o.list = servers
	return el("dhcpOptions", f.dhcp(o)), nil
}

func (f *Fake) associateDhcp(q query) (string, error) {
	vpc, err := f.find("vpc", q.get("VpcId"), "InvalidVpcID.NotFound")
	if err != nil {
		return "", err
	}
	id := q.get("DhcpOptionsId")
	if id == "default" {
		id = "dopt-default"
	} else if _, err := f.find("dhcp-options", id, "InvalidDhcpOptionID.NotFound"); err != nil {
		return "", err
	}
	vpc.a["dhcp"] = id
	return done(), nil
}

func (f *Fake) deleteDhcp(q query) (string, error) {
	o, err := f.find("dhcp-options", q.get("DhcpOptionsId"), "InvalidDhcpOptionID.NotFound")
	if err != nil {
		return "", err
	}
	if len(f.of("vpc", with("dhcp", o.id))) > 0 {
		return "", refuse("DependencyViolation", "The dhcpOptions '%s' has dependencies and cannot be deleted.", o.id)
	}
	f.drop(o)
	return done(), nil
}

// describeZones has the first zone last, and one that is not to be had.
func (f *Fake) describeZones(query) (string, error) {
	zone := func(name string) string {
		return el("item", text("zoneName", name), text("zoneState", "available"), text("zoneType", "availability-zone"), text("regionName", "xx-test-1"))
	}
	return el("availabilityZoneInfo", zone("xx-test-1b"), zone("xx-test-1a")), nil
}
