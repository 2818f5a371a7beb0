package openstackfake

import (
	"encoding/base64"
	"net/http"
	"regexp"
)

// compute is nova.
func (c *Cloud) compute() {
	const base = "/compute/v2.1"
	c.handle("GET "+base+"/flavors/detail", func(r *http.Request, _ object) (int, any) {
		return 200, c.linked(r, "flavors", c.rows("flavors"))
	})
	c.keyPairs(base + "/os-keypairs")
	c.handle("GET "+base+"/servers/detail", func(r *http.Request, _ object) (int, any) {
		for _, s := range c.rows("servers") {
			c.look(text(s, "id"))
		}
		var all []object
		for _, s := range c.rows("servers") {
			all = append(all, c.show(s))
		}
		return 200, c.linked(r, "servers", all)
	})
	c.handle("POST "+base+"/servers", c.createServer)
	c.server("GET", "", func(_ *http.Request, s, _ object) (int, any) { return 200, object{"server": c.show(s)} })
	c.server("DELETE", "", func(_ *http.Request, s, _ object) (int, any) {
		id := text(s, "id")
		if s["OS-EXT-STS:task_state"] == "deleting" {
			return 204, nil
		}
		s["OS-EXT-STS:task_state"] = "deleting"
		c.soon(id, func() {
			c.detach(id, "")
			for _, p := range c.rows("ports") {
				if p["device_id"] == id {
					p["device_id"], p["device_owner"] = "", ""
				}
			}
			c.remove("servers", id)
		})
		return 204, nil
	})
	c.server("POST", "/action", c.action)
	c.server("POST", "/os-volume_attachments", func(_ *http.Request, s, body object) (int, any) {
		volume := text(inner(body, "volumeAttachment"), "volumeId")
		if !c.attach(volume, text(s, "id")) {
			return 0, problem{400, "badRequest", "Invalid volume: volume '" + volume + "' status must be 'available'."}
		}
		return 200, object{"volumeAttachment": object{"id": volume, "volumeId": volume, "serverId": s["id"],
			"device": "/dev/vdb"}}
	})
	c.server("DELETE", "/os-volume_attachments/{volume}", func(r *http.Request, s, _ object) (int, any) {
		if !c.detach(text(s, "id"), r.PathValue("volume")) {
			return 0, problem{404, "itemNotFound", "The volume is not attached."}
		}
		return 202, nil
	})
}

// server handles requests about one server that is there.
func (c *Cloud) server(method, path string, h func(r *http.Request, s, body object) (int, any)) {
	c.handle(method+" /compute/v2.1/servers/{id}"+path, func(r *http.Request, body object) (int, any) {
		s := c.get("servers", r.PathValue("id"))
		if s == nil {
			return 0, problem{404, "itemNotFound", "Instance " + r.PathValue("id") + " could not be found."}
		}
		return h(r, s, body)
	})
}

// show is a server with its volumes, in the order in which they are kept.
func (c *Cloud) show(s object) object {
	volumes := []object{}
	for _, v := range c.rows("volumes") {
		if list, _ := v["attachments"].([]any); len(list) > 0 && list[0].(object)["server_id"] == s["id"] {
			volumes = append(volumes, object{"id": v["id"]})
		}
	}
	s["os-extended-volumes:volumes_attached"] = volumes
	return s
}

func (c *Cloud) createServer(_ *http.Request, body object) (int, any) {
	bad := func(text string) (int, any) { return 0, problem{400, "badRequest", text} }
	if c.full("servers") {
		return 0, problem{403, "forbidden",
			"Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"}
	}
	s := inner(body, "server")
	if c.get("flavors", text(s, "flavorRef")) == nil {
		return bad("Flavor could not be found.")
	}
	data, err := base64.StdEncoding.DecodeString(text(s, "user_data"))
	if err != nil || len(text(s, "user_data")) > 65535 {
		return bad("User data is not base64, or too long.")
	}
	s["OS-EXT-SRV-ATTR:user_data"] = string(data)
	delete(s, "user_data")
	if key := text(s, "key_name"); key != "" && c.get("keypairs", key) == nil {
		return bad("Invalid key_name provided.")
	}
	if i := c.get("images", text(s, "imageRef")); text(s, "imageRef") != "" && (i == nil || i["status"] != "active") {
		return bad("Can not find requested image")
	}
	devices, _ := s["block_device_mapping_v2"].([]any)
	var volumes []string
	for _, d := range devices {
		if o := d.(object); o["source_type"] == "volume" {
			v := c.get("volumes", text(o, "uuid"))
			if v == nil || v["status"] != "available" {
				return bad("Block Device Mapping is Invalid: failed to get volume.")
			}
			volumes = append(volumes, text(o, "uuid"))
		}
	}
	nets, _ := s["networks"].([]any)
	if len(nets) != 1 {
		return 0, problem{409, "conflictingRequest",
			"Multiple possible networks found, use a Network ID to be more specific."}
	}
	port := c.get("ports", text(nets[0].(object), "port"))
	if port == nil {
		return bad("Port could not be found.")
	}
	if text(port, "device_id") != "" {
		return 0, problem{409, "conflictingRequest", "Port is still in use."}
	}
	s["image"] = object{"id": s["imageRef"]}
	if s["imageRef"] == nil || s["imageRef"] == "" {
		s["image"] = ""
	}
	s["created"], s["updated"], s["status"], s["OS-EXT-STS:task_state"] = now()+"Z", now()+"Z", "BUILD", "spawning"
	id := c.insert("servers", s)
	port["device_id"], port["device_owner"] = id, "compute:nova"
	for _, v := range volumes {
		c.attach(v, id)
	}
	c.soon(id, c.become(s, "ACTIVE"))
	return 202, object{"server": object{"id": id}}
}

func (c *Cloud) become(s object, status string) func() {
	return func() { s["status"], s["OS-EXT-STS:task_state"] = status, nil }
}

// action stops, starts and reboots, and shows the console.
func (c *Cloud) action(_ *http.Request, s, body object) (int, any) {
	has := func(key string) bool { _, ok := body[key]; return ok }
	busy := s["OS-EXT-STS:task_state"] != nil
	conflict := problem{409, "conflictingRequest", "Cannot do that while instance is in vm_state " + text(s, "status")}
	change := func(task, from, to string) (int, any) {
		if busy || s["status"] != from {
			return 0, conflict
		}
		s["OS-EXT-STS:task_state"] = task
		c.soon(text(s, "id"), c.become(s, to))
		return 202, nil
	}
	switch {
	case has("os-stop"):
		return change("powering-off", "ACTIVE", "SHUTOFF")
	case has("os-start"):
		return change("powering-on", "SHUTOFF", "ACTIVE")
	case has("reboot"):
		return change("rebooting", "ACTIVE", "ACTIVE")
	case has("os-getConsoleOutput"):
		return 200, object{"output": "FAKE CONSOLE OUTPUT\n"}
	}
	return 0, problem{400, "badRequest", "There is no such action."}
}

// keyPairs is what nova keeps of keys, by name.
func (c *Cloud) keyPairs(base string) {
	name := regexp.MustCompile(`^[a-zA-Z0-9 _-]{1,255}$`)
	c.handle("GET "+base, func(*http.Request, object) (int, any) {
		all := []object{}
		for _, k := range c.rows("keypairs") {
			all = append(all, object{"keypair": k})
		}
		return 200, object{"keypairs": all}
	})
	c.handle("POST "+base, func(_ *http.Request, body object) (int, any) {
		k := inner(body, "keypair")
		switch {
		case c.full("keypairs"):
			return 0, problem{403, "forbidden", "Quota exceeded, too many key pairs."}
		case !name.MatchString(text(k, "name")):
			return 0, problem{400, "badRequest", "Keypair name contains unsafe characters"}
		case c.get("keypairs", text(k, "name")) != nil:
			return 0, problem{409, "conflictingRequest", "Key pair already exists."}
		}
		k["id"] = k["name"]
		c.insert("keypairs", k)
		return 201, object{"keypair": k}
	})
	c.handle("GET "+base+"/{name}", func(r *http.Request, _ object) (int, any) {
		if k := c.get("keypairs", r.PathValue("name")); k != nil {
			return 200, object{"keypair": k}
		}
		return 0, problem{404, "itemNotFound", "Keypair not found."}
	})
	c.handle("DELETE "+base+"/{name}", func(r *http.Request, _ object) (int, any) {
		if c.get("keypairs", r.PathValue("name")) == nil {
			return 0, problem{404, "itemNotFound", "Keypair not found."}
		}
		c.remove("keypairs", r.PathValue("name"))
		return 202, nil
	})
}
