package ec2fake

import "strconv"

// attachment is a volume's, in its answers.
func attachment(o *object) string {
	if o.a["instance"] == "" {
		return ""
	}
	return text("volumeId", o.id) + text("instanceId", o.a["instance"]) + text("device", o.a["device"]) +
		text("status", attachState(o)) +
		text("deleteOnTermination", o.a["root"])
}

// attachState is the attachment's state: the volume itself is in use from the start.
func attachState(o *object) string {
	switch o.state {
	case "in-use":
		return "attached"
	case "in-use, attaching":
		return "attaching"
	}
	return "detaching"
}

func volumeState(o *object) string {
	if len(o.state) > 6 && o.state[:6] == "in-use" {
		return "in-use"
	}
	return o.state
}

func (f *Fake) volume(o *object) string {
	attached := ""
	if a := attachment(o); a != "" {
		attached = el("item", a)
	}
	return text("volumeId", o.id) + text("size", o.a["size"]) + text("availabilityZone", o.a["zone"]) +
		text("status", volumeState(o)) +
		text("volumeType", o.a["type"]) + text("encrypted", o.a["encrypted"]) +
		el("attachmentSet", attached) + o.tagSet()
}

func (f *Fake) describeVolumes(q query) (string, error) {
	return f.describe(q, "volume", "volumeSet", func(o *object, name string) []string {
		switch name {
		case "volume-id":
			return one(o.id)
		case "status":
			return one(volumeState(o))
		case "attachment.instance-id":
			return one(o.a["instance"])
		}
		return nil
	}, f.volume)
}

func (f *Fake) createVolume(q query) (string, error) {
	old, id, err := f.again("volume", q.get("ClientToken"), q.String())
	if err != nil {
		return "", err
	}
	if old != nil {
		return f.volume(old), nil
	}
	if id != "" {
		return text("volumeId", id) + text("status", "creating"), nil
	}
	size, err := strconv.Atoi(q.get("Size"))
	if err != nil || size < 1 || size > 65536 {
		return "", refuse("InvalidParameterValue", "Volume size '%s' is invalid", q.get("Size"))
	}
	switch q.get("VolumeType") {
	case "gp2", "gp3", "io2", "st1", "standard":
	default:
		return "", refuse("InvalidParameterValue", "Volume type '%s' is invalid", q.get("VolumeType"))
	}
	o, err := f.add("volume", q.tags("volume"), map[string]string{
		"size": strconv.Itoa(size), "zone": q.get("AvailabilityZone"), "type": q.get("VolumeType"),
		"encrypted": q.get("Encrypted"),
	})
	if err != nil {
		return "", err
	}
	f.become(o, "creating", "available")
	f.remember("volume", q.get("ClientToken"), q.String(), o.id)
	return f.volume(o), nil
}

func (f *Fake) modifyVolume(q query) (string, error) {
	o, err := f.find("volume", q.get("VolumeId"), "InvalidVolume.NotFound")
	if err != nil {
		return "", err
	}
	size, err := strconv.Atoi(q.get("Size"))
	if was, _ := strconv.Atoi(o.a["size"]); err != nil || size < was {
		return "", refuse("InvalidParameterValue", "New size cannot be smaller than existing size")
	}
	if s := volumeState(o); s != "available" && s != "in-use" {
		return "", refuse("IncorrectState", "the volume is %s", s)
	}
	o.a["size"] = strconv.Itoa(size)
	return el("volumeModification", text("volumeId", o.id), text("modificationState", "modifying")), nil
}

func (f *Fake) attachVolume(q query) (string, error) {
	o, err := f.find("volume", q.get("VolumeId"), "InvalidVolume.NotFound")
	if err != nil {
		return "", err
	}
	i, err := f.find("instance", q.get("InstanceId"), "InvalidInstanceID.NotFound")
	if err != nil {
		return "", err
	}
	switch {
	case o.state == "creating" || o.state == "deleting":
		return "", refuse("IncorrectState", "Volume '%s' is %s", o.id, o.state)
	case o.state != "available":
		return "", refuse("VolumeInUse", "%s is already attached to an instance", o.id)
	case i.state != "running" && i.state != "stopped":
		return "", refuse("IncorrectState", "Instance '%s' is not 'running'.", i.id)
	case o.a["zone"] != i.a["zone"]:
		return "", refuse("InvalidVolume.ZoneMismatch",
			"The volume '%s' is not in the same availability zone as instance '%s'", o.id, i.id)
	}
	for _, other := range f.of("volume", with("instance", i.id)) {
		if other.a["device"] == q.get("Device") {
			return "", refuse("InvalidParameterValue", "Invalid value '%s' for unixDevice. "+
				"Attachment point %s is already in use", q.get("Device"), q.get("Device"))
		}
	}
	o.a["instance"], o.a["device"] = i.id, q.get("Device")
	f.become(o, "in-use, attaching", "in-use")
	return attachment(o), nil
}

func (f *Fake) detachVolume(q query) (string, error) {
	o, err := f.find("volume", q.get("VolumeId"), "InvalidVolume.NotFound")
	if err != nil {
		return "", err
	}
	if o.state != "in-use" || o.a["instance"] != q.get("InstanceId") {
		return "", refuse("IncorrectState", "Volume '%s' is in the '%s' state.", o.id, volumeState(o))
	}
	answer := attachment(o)
	f.become(o, "in-use, detaching", "available")
	return answer, nil
}

func (f *Fake) deleteVolume(q query) (string, error) {
	o, err := f.find("volume", q.get("VolumeId"), "InvalidVolume.NotFound")
	if err != nil {
		return "", err
	}
	if o.state != "available" && o.state != "error" {
		return "", refuse("VolumeInUse", "Volume %s is currently %s", o.id, volumeState(o))
	}
	f.become(o, "deleting", "deleted")
	return done(), nil
}
