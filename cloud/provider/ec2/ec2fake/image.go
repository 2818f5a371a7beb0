package ec2fake

import "slices"

func (f *Fake) describeSnapshots(q query) (string, error) {
	if q.get("Owner.1") != "self" {
		return "", refuse("InvalidParameterValue", "the fake has no public snapshots")
	}
	return f.describe(q, "snapshot", "snapshotSet", func(o *object, name string) []string {
		switch name {
		case "snapshot-id":
			return one(o.id)
		case "status":
			return one(o.state)
		}
		return nil
	}, func(o *object) string {
		return text("snapshotId", o.id) + text("status", o.state) + text("volumeSize", o.a["size"]) +
			text("startTime", began()) +
			text("statusMessage", o.a["message"]) + o.tagSet()
	})
}

func (f *Fake) deleteSnapshot(q query) (string, error) {
	o, err := f.find("snapshot", q.get("SnapshotId"), "InvalidSnapshot.NotFound")
	if err != nil {
		return "", err
	}
	if some := f.of("image", with("snapshot", o.id)); len(some) > 0 {
		return "", refuse("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", o.id, some[0].id)
	}
	f.drop(o)
	return done(), nil
}

func (f *Fake) describeImages(q query) (string, error) {
	if q.get("Owner.1") != "self" {
		return "", refuse("InvalidParameterValue", "the fake has no public images")
	}
	return f.describe(q, "image", "imagesSet", func(o *object, name string) []string {
		switch name {
		case "image-id":
			return one(o.id)
		case "name":
			return one(o.a["name"])
		case "state":
			return one(o.state)
		}
		return nil
	}, func(o *object) string {
		return text("imageId", o.id) + text("imageState", o.state) + text("name", o.a["name"]) +
			text("bootMode", o.a["boot"]) +
			text("architecture", o.a["arch"]) + text("rootDeviceName", "/dev/xvda") +
			el("blockDeviceMapping", el("item", el("deviceName", "/dev/xvda"),
				el("ebs", text("snapshotId", o.a["snapshot"]), text("volumeSize", o.a["size"])))) + o.tagSet()
	})
}

func (f *Fake) registerImage(q query) (string, error) {
	name := q.get("Name")
	if len(name) < 3 || len(name) > 128 {
		return "", refuse("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long")
	}
	if some := f.of("image", with("name", name)); len(some) > 0 {
		return "", refuse("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, some[0].id)
	}
	boots := map[string][]string{"x86_64": {"uefi-preferred", "uefi", "legacy-bios"}, "arm64": {"uefi"}}
	if !slices.Contains(boots[q.get("Architecture")], q.get("BootMode")) {
		return "", refuse("InvalidParameterValue", "The boot mode %s is not supported for the architecture %s",
			q.get("BootMode"), q.get("Architecture"))
	}
	s, err := f.find("snapshot", q.get("BlockDeviceMapping.1.Ebs.SnapshotId"), "InvalidSnapshot.NotFound")
	if err != nil {
		return "", err
	}
	if s.state != "completed" {
		return "", refuse("IncorrectState", "The snapshot %s is %s", s.id, s.state)
	}
	if q.get("RootDeviceName") != q.get("BlockDeviceMapping.1.DeviceName") || q.get("VirtualizationType") != "hvm" {
		return "", refuse("InvalidBlockDeviceMapping", "no root device")
	}
	o, err := f.add("image", q.tags("image"), map[string]string{
		"name": name, "snapshot": s.id, "size": s.a["size"], "boot": q.get("BootMode"), "arch": q.get("Architecture"),
		"ena":  q.get("EnaSupport"),
		"imds": q.get("ImdsSupport"),
	})
	if err != nil {
		return "", err
	}
	f.become(o, "pending", "available")
	return text("imageId", o.id), nil
}

func (f *Fake) deregisterImage(q query) (string, error) {
	o, err := f.find("image", q.get("ImageId"), "InvalidAMIID.NotFound")
	if err != nil {
		return "", err
	}
	f.drop(o)
	return done(), nil
}
