package openstackfake

import "net/http"

// volumes is cinder.
func (c *Cloud) volumes() {
	const base = "/volume/v3/" + Project + "/volumes"
	c.handle("GET "+base+"/detail", func(r *http.Request, _ object) (int, any) {
		for _, v := range c.rows("volumes") {
			c.look(text(v, "id"))
		}
		return 200, c.linked(r, "volumes", c.rows("volumes"))
	})
	c.handle("POST "+base, func(_ *http.Request, body object) (int, any) {
		if c.full("volumes") {
			return 0, problem{413, "overLimit",
				"VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded for quota 'volumes'."}
		}
		v := inner(body, "volume")
		v["status"], v["created_at"], v["attachments"] = "creating", now()+".000000", []any{}
		if v["metadata"] == nil {
			v["metadata"] = object{}
		}
		id := c.insert("volumes", v)
		c.soon(id, func() { v["status"] = "available" })
		return 202, object{"volume": v}
	})
	c.handle("GET "+base+"/{id}", func(r *http.Request, _ object) (int, any) {
		if v := c.get("volumes", r.PathValue("id")); v != nil {
			return 200, object{"volume": v}
		}
		return 0, noVolume(r)
	})
	c.handle("DELETE "+base+"/{id}", func(r *http.Request, _ object) (int, any) {
		id := r.PathValue("id")
		v := c.get("volumes", id)
		if v == nil {
			return 0, noVolume(r)
		}
		if v["status"] != "available" && v["status"] != "error" {
			return 0, problem{400, "badRequest", "Invalid volume: Volume status must be available or error."}
		}
		v["status"] = "deleting"
		c.soon(id, func() { c.remove("volumes", id) })
		return 202, nil
	})
	c.handle("POST "+base+"/{id}/action", func(r *http.Request, body object) (int, any) {
		v := c.get("volumes", r.PathValue("id"))
		if v == nil {
			return 0, noVolume(r)
		}
		size, ok := inner(body, "os-extend")["new_size"].(float64)
		if has, _ := v["size"].(float64); !ok || size <= has {
			return 0, problem{400, "badRequest", "New size for extend must be greater than current size."}
		}
		was := v["status"]
		if was == "in-use" && r.Header.Get("OpenStack-API-Version") != "volume 3.42" {
			return 0, problem{400, "badRequest", "Invalid volume: Volume status must be '{'available'}' to extend."}
		}
		v["size"], v["status"] = size, "extending"
		c.soon(r.PathValue("id"), func() { v["status"] = was })
		return 202, nil
	})
}

func noVolume(r *http.Request) problem {
	return problem{404, "itemNotFound", "Volume " + r.PathValue("id") + " could not be found."}
}

// attach gives a volume to a server; false where it cannot have it.
func (c *Cloud) attach(volume, server string) bool {
	v := c.get("volumes", volume)
	if v == nil || v["status"] != "available" {
		return false
	}
	v["status"], v["attachments"] = "in-use",
		[]any{object{"server_id": server, "volume_id": volume, "device": "/dev/vdb"}}
	return true
}

// detach frees the volumes of a server, or the one named.
func (c *Cloud) detach(server, volume string) bool {
	found := false
	for _, v := range c.rows("volumes") {
		if volume != "" && v["id"] != volume {
			continue
		}
		list, _ := v["attachments"].([]any)
		if len(list) > 0 && list[0].(object)["server_id"] == server {
			v["status"], v["attachments"], found = "available", []any{}, true
		}
	}
	return found
}
