package ec2fake

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
		return "", refuse("DependencyViolation",
			"The internetGateway '%s' has dependencies and cannot be deleted.", o.id)
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
			routes = el("item", text("destinationCidrBlock", "0.0.0.0/0"), text("gatewayId", o.a["gateway"]),
				text("state", state))
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
		return "", refuse("InvalidParameterValue",
			"route table %s and network gateway %s belong to different networks", o.id, g.id)
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
	return text("dhcpOptionsId", o.id) + el("dhcpConfigurationSet",
		el("item", el("key", "domain-name-servers"), el("valueSet", values))) + o.tagSet()
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
func (f *Fake) describeRegions(query) (string, error) {
	region := func(name string) string {
		return el("item", text("regionName", name), text("optInStatus", "opt-in-not-required"))
	}
	return el("regionInfo", region("xx-test-2"), region("xx-test-1")), nil
}

func (f *Fake) describeZones(query) (string, error) {
	zone := func(name string) string {
		return el("item", text("zoneName", name), text("zoneState", "available"), text("zoneType", "availability-zone"),
			text("regionName", "xx-test-1"))
	}
	return el("availabilityZoneInfo", zone("xx-test-1b"), zone("xx-test-1a")), nil
}
