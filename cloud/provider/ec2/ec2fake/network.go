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
	return text("vpcId", o.id) + text("state", o.state) + text("cidrBlock", o.a["cidr"]) +
		text("dhcpOptionsId", o.a["dhcp"]) + o.tagSet()
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
	if _, err := f.add("security-group", nil,
		map[string]string{"vpc": o.id, "name": "default", "description": "default VPC security group"}); err != nil {
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
	return text("subnetId", o.id) + text("state", "available") + text("vpcId", o.a["vpc"]) +
		text("cidrBlock", o.a["cidr"]) +
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
		return "", refuse("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid.",
			q.get("AvailabilityZone"))
	}
	o, err := f.add("subnet", q.tags("subnet"),
		map[string]string{"vpc": vpc.id, "cidr": cidr.String(), "zone": q.get("AvailabilityZone")})
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
