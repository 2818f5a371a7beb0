package ec2fake

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
)

// stateCode is a state's number.
func stateCode(s string) string {
	return map[string]string{"pending": "0", "running": "16", "shutting-down": "32", "terminated": "48",
		"stopping": "64", "stopped": "80"}[s]
}

func (f *Fake) describeInstances(q query) (string, error) {
	return f.describe(q, "instance", "reservationSet", func(o *object, name string) []string {
		switch name {
		case "instance-id":
			return one(o.id)
		case "instance-state-name":
			return one(o.state)
		case "private-ip-address":
			return one(o.a["private"])
		case "vpc-id":
			return one(o.a["vpc"])
		}
		return nil
	}, func(o *object) string { return el("instancesSet", el("item", f.instance(o))) })
}

func (f *Fake) instance(o *object) string {
	var ends, disks, groups string
	for _, e := range f.of("network-interface", with("instance", o.id)) {
		for _, g := range e.list {
			groups += el("item", text("groupId", g))
		}
		ends += el("item", text("networkInterfaceId", e.id), text("privateIpAddress", e.a["private"]),
			el("groupSet", groups),
			el("attachment", el("deviceIndex", "0"), el("status", "attached")))
	}
	for _, v := range f.of("volume", with("instance", o.id)) {
		disks += el("item", text("deviceName", v.a["device"]),
			el("ebs", text("volumeId", v.id), text("status", attachState(v))))
	}
	reason := ""
	if o.a["reason"] != "" {
		reason = el("stateReason", text("code", o.a["reason"]), text("message", o.a["reason"]+": as the test wants it"))
	}
	return text("instanceId", o.id) + text("imageId", o.a["image"]) +
		el("instanceState", text("code", stateCode(o.state)), text("name", o.state)) +
		text("instanceType", o.a["type"]) + text("keyName", o.a["key"]) + text("vpcId", o.a["vpc"]) +
		text("subnetId", o.a["subnet"]) +
		text("privateIpAddress", o.a["private"]) + text("ipAddress", o.a["public"]) +
		text("rootDeviceName", "/dev/xvda") +
		el("placement", text("availabilityZone", o.a["zone"])) + reason +
		el("networkInterfaceSet", ends) + el("blockDeviceMapping", disks) + o.tagSet()
}

func (f *Fake) runInstances(q query) (string, error) {
	answer := func(o *object) string { return el("instancesSet", el("item", f.instance(o))) }
	old, id, err := f.again("instance", q.get("ClientToken"), q.String())
	if err != nil {
		return "", err
	}
	if old != nil {
		return answer(old), nil
	}
	if id != "" {
		return el("instancesSet",
			el("item", text("instanceId", id), el("instanceState", el("name", "terminated")))), nil
	}
	a, end, err := f.checkRun(q)
	if err != nil {
		return "", err
	}
	o, err := f.add("instance", q.tags("instance"), a)
	if err != nil {
		return "", err
	}
	groups := end.list
	e, err := f.add("network-interface", q.tags("network-interface"), map[string]string{
		"vpc": a["vpc"], "subnet": a["subnet"], "instance": o.id, "private": a["private"],
	})
	if err != nil {
		return "", err
	}
	e.list = groups
	root, err := f.add("volume", q.tags("volume"), map[string]string{
		"size": a["disk"], "zone": a["zone"], "type": "gp3", "instance": o.id, "device": "/dev/xvda", "root": "true",
		"encrypted": q.get("BlockDeviceMapping.1.Ebs.Encrypted"),
	})
	if err != nil {
		return "", err
	}
	root.state = "in-use"
	f.become(o, "pending", "running")
	f.remember("instance", q.get("ClientToken"), q.String(), o.id)
	return answer(o), nil
}

// checkRun checks what an instance is to be made from.
func (f *Fake) checkRun(q query) (map[string]string, *object, error) {
	image, err := f.find("image", q.get("ImageId"), "InvalidAMIID.NotFound")
	if err != nil {
		return nil, nil, err
	}
	if image.state != "available" {
		return nil, nil, refuse("InvalidAMIID.Unavailable", "The image id '%s' is %s", image.id, image.state)
	}
	known := false
	for _, t := range types() {
		known = known || t.name == q.get("InstanceType")
	}
	if !known {
		return nil, nil, refuse("InvalidParameterValue", "Invalid value '%s' for InstanceType.", q.get("InstanceType"))
	}
	if key := q.get("KeyName"); key != "" && len(f.of("key-pair", with("name", key))) == 0 {
		return nil, nil, refuse("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", key)
	}
	data, err := base64.StdEncoding.DecodeString(q.get("UserData"))
	if err != nil || len(data) > 16<<10 {
		return nil, nil, refuse("InvalidParameterValue", "User data is limited to 16384 bytes")
	}
	const at = "NetworkInterface.1."
	subnet, err := f.find("subnet", q.get(at+"SubnetId"), "InvalidSubnetID.NotFound")
	if err != nil {
		return nil, nil, err
	}
	groups := q.list(at + "SecurityGroupId")
	if err := f.groupsIn(subnet.a["vpc"], groups); err != nil {
		return nil, nil, err
	}
	private, err := f.privateAddress(subnet, q.get(at+"PrivateIpAddress"))
	if err != nil {
		return nil, nil, err
	}
	disk := image.a["size"]
	if s := q.get("BlockDeviceMapping.1.Ebs.VolumeSize"); s != "" {
		has, _ := strconv.Atoi(disk)
		if n, err := strconv.Atoi(s); err != nil || n < has {
			return nil, nil, refuse("InvalidBlockDeviceMapping",
				"Volume of size %sGB is smaller than snapshot, expect size >= %dGB", s, has)
		}
		disk = s
	}
	if q.get("MinCount") != "1" || q.get("MaxCount") != "1" {
		return nil, nil, refuse("InvalidParameterValue", "the fake makes one instance at a time")
	}
	return map[string]string{
		"image": image.id, "type": q.get("InstanceType"), "key": q.get("KeyName"), "vpc": subnet.a["vpc"],
		"subnet": subnet.id, "zone": subnet.a["zone"], "private": private, "data": string(data), "disk": disk,
		"wants public": q.get(at + "AssociatePublicIpAddress"), "tokens": q.get("MetadataOptions.HttpTokens"),
	}, &object{list: groups}, nil
}

// privateAddress is the wanted address of a subnet, or a free one. EC2 keeps the first four and the last.
func (f *Fake) privateAddress(subnet *object, want string) (string, error) {
	prefix := netip.MustParsePrefix(subnet.a["cidr"])
	used := make(map[string]bool)
	for _, e := range f.of("network-interface", with("subnet", subnet.id)) {
		used[e.a["private"]] = true
	}
	a := prefix.Addr()
	for range 3 {
		used[a.String()] = true
		a = a.Next()
	}
	used[a.String()] = true
	if want != "" {
		w, err := netip.ParseAddr(want)
		if err != nil || !prefix.Contains(w) || !prefix.Contains(w.Next()) || !a.Less(w) {
			return "", refuse("InvalidParameterValue",
				"Address %s does not fall within the subnet's address range", want)
		}
		if used[want] {
			return "", refuse("InvalidIPAddress.InUse", "Address %s is in use.", want)
		}
		return want, nil
	}
	for ; prefix.Contains(a.Next()); a = a.Next() {
		if !used[a.String()] {
			return a.String(), nil
		}
	}
	return "", refuse("InsufficientFreeAddressesInSubnet", "no address is free")
}

// terminated is the end of an instance: data volumes and addresses are free, the rest goes with it.
func (f *Fake) terminated(o *object) {
	for _, v := range f.of("volume", with("instance", o.id)) {
		if v.a["root"] == "true" {
			f.drop(v)
			continue
		}
		f.become(v, "available")
		f.reached(v)
	}
	for _, a := range f.of("elastic-ip", with("instance", o.id)) {
		f.unbind(a)
	}
	for _, e := range f.of("network-interface", with("instance", o.id)) {
		f.drop(e)
	}
	for _, name := range []string{"public", "private", "vpc", "subnet"} {
		delete(o.a, name)
	}
}

// each does something with each instance that a request names.
func (f *Fake) each(q query, do func(*object) error) (string, error) {
	items := ""
	for _, id := range q.list("InstanceId") {
		o, err := f.find("instance", id, "InvalidInstanceID.NotFound")
		if err != nil {
			return "", err
		}
		was := o.state
		if err := do(o); err != nil {
			return "", err
		}
		items += el("item", text("instanceId", o.id),
			el("currentState", text("code", stateCode(o.state)), text("name", o.state)),
			el("previousState", text("code", stateCode(was)), text("name", was)))
	}
	return el("instancesSet", items), nil
}

func incorrect(o *object) error {
	return refuse("IncorrectInstanceState",
		"The instance '%s' is not in a state from which this can be done (%s).", o.id, o.state)
}

func (f *Fake) terminateInstances(q query) (string, error) {
	return f.each(q, func(o *object) error {
		if o.state != "terminated" && o.state != "shutting-down" {
			o.a["reason"] = "Client.UserInitiatedShutdown"
			f.become(o, "shutting-down", "terminated")
		}
		return nil
	})
}

func (f *Fake) startInstances(q query) (string, error) {
	return f.each(q, func(o *object) error {
		switch o.state {
		case "running", "pending":
		case "stopped":
			f.become(o, "pending", "running")
		default:
			return incorrect(o)
		}
		return nil
	})
}

func (f *Fake) stopInstances(q query) (string, error) {
	return f.each(q, func(o *object) error {
		switch o.state {
		case "stopped", "stopping":
		case "running":
			f.become(o, "stopping", "stopped")
		default:
			return incorrect(o)
		}
		return nil
	})
}

func (f *Fake) rebootInstances(q query) (string, error) {
	_, err := f.each(q, func(o *object) error {
		if o.state != "running" {
			return incorrect(o)
		}
		return nil
	})
	return done(), err
}

func (f *Fake) consoleOutput(q query) (string, error) {
	o, err := f.find("instance", q.get("InstanceId"), "InvalidInstanceID.NotFound")
	if err != nil {
		return "", err
	}
	if q.get("Latest") == "true" && o.a["type"] == "t1.fake" {
		return "", refuse("UnsupportedOperation",
			"This instance type does not support retrieving the latest console logs.")
	}
	return text("instanceId", o.id) + text("output", base64.StdEncoding.EncodeToString([]byte(o.a["console"]))), nil
}

type instanceType struct {
	name   string
	cpus   int
	memory int // MiB
}

func types() []instanceType {
	return []instanceType{
		{"m7i.large", 2, 8192}, {"t3.micro", 2, 1024}, {"c7g.medium", 1, 2048}, {"t3.nano", 2, 512},
		{"m7i.xlarge", 4, 16384}, {"t3.small", 2, 2048}, {"t1.fake", 1, 768},
	}
}

func (f *Fake) describeTypes(q query) (string, error) {
	all := types()
	from, to, next, err := f.page(q, len(all))
	if err != nil {
		return "", err
	}
	items := ""
	for _, t := range all[from:to] {
		items += el("item", text("instanceType", t.name), el("vCpuInfo", text("defaultVCpus", fmt.Sprint(t.cpus))),
			el("memoryInfo", text("sizeInMiB", fmt.Sprint(t.memory))))
	}
	return el("instanceTypeSet", items) + text("nextToken", next), nil
}
