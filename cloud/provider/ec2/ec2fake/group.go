package ec2fake

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// groupRule lets packets in.
type groupRule struct {
	id       string
	protocol string
	from, to int
	source   netip.Prefix
}

func (f *Fake) describeGroups(q query) (string, error) {
	return f.describe(q, "security-group", "securityGroupInfo", func(o *object, name string) []string {
		if name == "group-name" {
			return one(o.a["name"])
		}
		return inVPC("group-id")(o, name)
	}, func(o *object) string {
		return text("groupId", o.id) + text("groupName", o.a["name"]) + text("groupDescription", o.a["description"]) +
			text("vpcId", o.a["vpc"]) + o.tagSet()
	})
}

func (f *Fake) createGroup(q query) (string, error) {
	vpc, err := f.find("vpc", q.get("VpcId"), "InvalidVpcID.NotFound")
	if err != nil {
		return "", err
	}
	name := q.get("GroupName")
	if !groupText(name) || !groupText(q.get("GroupDescription")) {
		return "", refuse("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid.", name)
	}
	if len(f.of("security-group", func(o *object) bool { return o.a["vpc"] == vpc.id && o.a["name"] == name })) > 0 {
		return "", refuse("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpc.id)
	}
	o, err := f.add("security-group", q.tags("security-group"),
		map[string]string{"vpc": vpc.id, "name": name, "description": q.get("GroupDescription")})
	if err != nil {
		return "", err
	}
	return text("groupId", o.id) + o.tagSet(), nil
}

// groupText says whether a group's name or description has no other characters than EC2 allows (CreateSecurityGroup).
func groupText(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:/()#,@[]+=&;{}!$*"
	return s != "" && len(s) <= 255 && strings.Trim(s, allowed) == "" && !strings.HasPrefix(s, "sg-")
}

func (f *Fake) deleteGroup(q query) (string, error) {
	o, err := f.find("security-group", q.get("GroupId"), "InvalidGroup.NotFound")
	if err != nil {
		return "", err
	}
	if len(f.of("network-interface", func(e *object) bool { return slices.Contains(e.list, o.id) })) > 0 {
		return "", refuse("DependencyViolation", "resource %s has a dependent object", o.id)
	}
	f.drop(o)
	return done(), nil
}

// describeRules shows the rules of groups, with the one that lets everything out, which each group has from its start.
func (f *Fake) describeRules(q query) (string, error) {
	if q.get("Filter.1.Name") != "group-id" || q.Has("Filter.2.Name") {
		return "", refuse("InvalidParameterValue", "the fake knows the filter group-id alone")
	}
	var items []string
	for _, id := range q.list("Filter.1.Value") {
		o, err := f.find("security-group", id, "")
		if err != nil {
			continue
		}
		rule := func(egress bool, r *groupRule) string {
			cidr := "cidrIpv4"
			if r.source.Addr().Is6() {
				cidr = "cidrIpv6"
			}
			return el("item", text("securityGroupRuleId", r.id), text("groupId", id),
				text("isEgress", fmt.Sprint(egress)), text("ipProtocol", r.protocol),
				text("fromPort", strconv.Itoa(r.from)), text("toPort", strconv.Itoa(r.to)),
				text(cidr, r.source.String()))
		}
		items = append(items, rule(true, &groupRule{"sgr-out-" + id, "-1", -1, -1, netip.MustParsePrefix("0.0.0.0/0")}))
		for _, r := range o.rules {
			items = append(items, rule(false, r))
		}
	}
	from, to, next, err := f.page(q, len(items))
	if err != nil {
		return "", err
	}
	return el("securityGroupRuleSet", items[from:to]...) + text("nextToken", next), nil
}

func (f *Fake) authorize(q query) (string, error) {
	o, err := f.find("security-group", q.get("GroupId"), "InvalidGroup.NotFound")
	if err != nil {
		return "", err
	}
	var fresh []*groupRule
	for n := 1; q.Has(fmt.Sprintf("IpPermissions.%d.IpProtocol", n)); n++ {
		at := fmt.Sprintf("IpPermissions.%d.", n)
		from, err1 := strconv.Atoi(q.get(at + "FromPort"))
		to, err2 := strconv.Atoi(q.get(at + "ToPort"))
		source, err3 := netip.ParsePrefix(q.get(at+"IpRanges.1.CidrIp") + q.get(at+"Ipv6Ranges.1.CidrIpv6"))
		if err1 != nil || err2 != nil || err3 != nil || source != source.Masked() || to < from {
			return "", refuse("InvalidParameterValue", "the permission %d is invalid", n)
		}
		r := &groupRule{f.newID("security-group-rule"), q.get(at + "IpProtocol"), from, to, source}
		if slices.ContainsFunc(o.rules, func(old *groupRule) bool {
			return old.protocol == r.protocol && old.from == from && old.to == to && old.source == source
		}) {
			return "", refuse("InvalidPermission.Duplicate", "the specified rule already exists")
		}
		fresh = append(fresh, r)
	}
	if len(fresh) == 0 {
		return "", refuse("MissingParameter", "no permission")
	}
	if len(o.rules)+len(fresh) > 60 {
		return "", refuse("RulesPerSecurityGroupLimitExceeded",
			"The maximum number of rules per security group has been reached.")
	}
	o.rules = append(o.rules, fresh...)
	return done(), nil
}

func (f *Fake) revoke(q query) (string, error) {
	o, err := f.find("security-group", q.get("GroupId"), "InvalidGroup.NotFound")
	if err != nil {
		return "", err
	}
	for _, id := range q.list("SecurityGroupRuleId") {
		n := slices.IndexFunc(o.rules, func(r *groupRule) bool { return r.id == id })
		if n < 0 {
			return "", refuse("InvalidSecurityGroupRuleId.NotFound", "The rule '%s' does not exist", id)
		}
		o.rules = slices.Delete(o.rules, n, n+1)
	}
	return done(), nil
}

func (f *Fake) describeInterfaces(q query) (string, error) {
	return f.describe(q, "network-interface", "networkInterfaceSet", inVPC("network-interface-id"),
		func(o *object) string {
			return text("networkInterfaceId", o.id) + text("vpcId", o.a["vpc"]) + text("subnetId", o.a["subnet"]) +
				el("attachment", text("instanceId", o.a["instance"]), el("deviceIndex", "0")) + o.tagSet()
		})
}

func (f *Fake) modifyInterface(q query) (string, error) {
	o, err := f.find("network-interface", q.get("NetworkInterfaceId"), "InvalidNetworkInterfaceID.NotFound")
	if err != nil {
		return "", err
	}
	groups := q.list("SecurityGroupId")
	if err := f.groupsIn(o.a["vpc"], groups); err != nil {
		return "", err
	}
	o.list = groups
	return done(), nil
}

// groupsIn checks that groups are in a VPC.
func (f *Fake) groupsIn(vpc string, groups []string) error {
	for _, id := range groups {
		g, err := f.find("security-group", id, "InvalidGroup.NotFound")
		if err != nil {
			return err
		}
		if g.a["vpc"] != vpc {
			return refuse("InvalidParameter", "Security group %s and the subnet belong to different networks.", id)
		}
	}
	return nil
}
