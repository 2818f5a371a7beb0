package ec2fake

import (
	"encoding/base64"
	"fmt"
	"strings"
)

func (f *Fake) describeKeyPairs(q query) (string, error) {
	return f.describe(q, "key-pair", "keySet", func(o *object, name string) []string {
		switch name {
		case "key-name":
			return one(o.a["name"])
		case "key-pair-id":
			return one(o.id)
		}
		return nil
	}, keyPair)
}

func keyPair(o *object) string {
	return text("keyPairId", o.id) + text("keyName", o.a["name"]) + o.tagSet()
}

// importKeyPair takes the kinds of keys that EC2 takes.
func (f *Fake) importKeyPair(q query) (string, error) {
	b, err := base64.StdEncoding.DecodeString(q.get("PublicKeyMaterial"))
	if err != nil || !strings.HasPrefix(string(b), "ssh-ed25519 ") && !strings.HasPrefix(string(b), "ssh-rsa ") {
		return "", refuse("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	name := q.get("KeyName")
	if len(f.of("key-pair", with("name", name))) > 0 {
		return "", refuse("InvalidKeyPair.Duplicate", "The keypair '%s' already exists.", name)
	}
	o, err := f.add("key-pair", q.tags("key-pair"), map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	return keyPair(o), nil
}

// deleteKeyPair says the same of a key that is not there.
func (f *Fake) deleteKeyPair(q query) (string, error) {
	if o, err := f.find("key-pair", q.get("KeyPairId"), ""); err == nil {
		f.drop(o)
	}
	return done(), nil
}

func (f *Fake) describeAddresses(q query) (string, error) {
	return f.describe(q, "elastic-ip", "addressesSet", func(o *object, name string) []string {
		switch name {
		case "allocation-id":
			return one(o.id)
		case "instance-id":
			return one(o.a["instance"])
		}
		return nil
	}, func(o *object) string {
		return text("allocationId", o.id) + text("publicIp", o.a["public"]) + text("domain", "vpc") +
			text("instanceId", o.a["instance"]) +
			text("associationId", o.a["association"]) + o.tagSet()
	})
}

func (f *Fake) allocateAddress(q query) (string, error) {
	if q.get("Domain") != "vpc" {
		return "", refuse("InvalidParameterValue", "the fake has no EC2-Classic")
	}
	o, err := f.add("elastic-ip", q.tags("elastic-ip"), map[string]string{})
	if err != nil {
		return "", err
	}
	o.a["public"] = fmt.Sprintf("203.0.113.%d", f.serial["elastic-ip"]%254+1)
	return text("allocationId", o.id) + text("publicIp", o.a["public"]) + text("domain", "vpc"), nil
}

func (f *Fake) associateAddress(q query) (string, error) {
	o, err := f.find("elastic-ip", q.get("AllocationId"), "InvalidAllocationID.NotFound")
	if err != nil {
		return "", err
	}
	end, err := f.find("network-interface", q.get("NetworkInterfaceId"), "InvalidNetworkInterfaceID.NotFound")
	if err != nil {
		return "", err
	}
	i, err := f.find("instance", end.a["instance"], "InvalidInstanceID.NotFound")
	if err != nil {
		return "", err
	}
	if i.state != "running" && i.state != "stopped" {
		return "", refuse("InvalidInstanceID",
			"The %s instance '%s' is not in a valid state for this operation.", i.state, i.id)
	}
	if o.a["instance"] != "" && q.get("AllowReassociation") != "true" {
		return "", refuse("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s",
			o.id, o.a["association"])
	}
	for _, other := range f.of("elastic-ip", with("instance", i.id)) {
		f.unbind(other)
	}
	o.a["instance"], o.a["association"] = i.id, f.newID("association")
	f.givePublic(i)
	return done() + text("associationId", o.a["association"]), nil
}

// unbind takes an address from its instance, which is left without one.
func (f *Fake) unbind(o *object) {
	if i, err := f.find("instance", o.a["instance"], ""); err == nil {
		delete(i.a, "public")
	}
	delete(o.a, "instance")
	delete(o.a, "association")
}

// givePublic gives an instance its elastic address, or one of its own while it runs.
func (f *Fake) givePublic(i *object) {
	for _, o := range f.of("elastic-ip", with("instance", i.id)) {
		i.a["public"] = o.a["public"]
		return
	}
	if i.a["wants public"] == "true" && i.state == "running" {
		f.serial["public"]++
		i.a["public"] = fmt.Sprintf("198.51.100.%d", f.serial["public"]%254+1)
	}
}

func (f *Fake) disassociateAddress(q query) (string, error) {
	some := f.of("elastic-ip", with("association", q.get("AssociationId")))
	if q.get("AssociationId") == "" || len(some) == 0 {
		return "", refuse("InvalidAssociationID.NotFound", "The association ID '%s' does not exist",
			q.get("AssociationId"))
	}
	f.unbind(some[0])
	return done(), nil
}

func (f *Fake) releaseAddress(q query) (string, error) {
	o, err := f.find("elastic-ip", q.get("AllocationId"), "InvalidAllocationID.NotFound")
	if err != nil {
		return "", err
	}
	if o.a["instance"] != "" {
		return "", refuse("InvalidIPAddress.InUse", "Address %s is in use.", o.a["public"])
	}
	f.drop(o)
	return done(), nil
}
