package lxdtest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
)

// view is a thing as it is shown, with what uses it.
func (f *Fake) view(at string) object {
	o := maps.Clone(f.items[at])
	var by []string
	for _, p := range f.below("/1.0/instances/") {
		if f.uses(f.items[p], at) {
			by = append(by, p)
		}
	}
	o["used_by"] = by
	return o
}

// uses says whether an instance has a network or a volume.
func (f *Fake) uses(instance object, at string) bool {
	devices, _ := instance["devices"].(object)
	for _, d := range devices {
		d, _ := d.(object)
		if d["type"] == "nic" && at == fmt.Sprint("/1.0/networks/", d["network"]) ||
			d["type"] == "disk" && at == fmt.Sprint("/1.0/storage-pools/", d["pool"], "/volumes/custom/", d["source"]) {
			return true
		}
	}
	return false
}

func text(o object, key string) string {
	s, _ := o[key].(string)
	return s
}

// create is a POST to a collection.
func (f *Fake) create(at string, body []byte) (int, object, string) {
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		return no(http.StatusBadRequest, err.Error())
	}
	name := text(o, "name")
	last := path.Base(at)
	if last == "forwards" {
		name = text(o, "listen_address")
	}
	if name == "" || strings.Contains(name, "/") {
		return no(http.StatusBadRequest, "Invalid name")
	}
	for _, v := range configOf(o) {
		if _, ok := v.(string); !ok {
			return no(http.StatusBadRequest, "json: cannot unmarshal")
		}
	}
	to := at + "/" + name
	_, there := f.items[to]
	switch last {
	case "networks":
		if there {
			return no(http.StatusBadRequest, "The network already exists")
		}
		if len(name) > 15 {
			return no(http.StatusBadRequest, "Interface name too long")
		}
		if code, a, t := f.knowsACLs(o); code != 0 {
			return code, a, t
		}
		o["managed"], o["status"] = true, "Created"
	case "network-acls":
		if there {
			return no(http.StatusBadRequest, "The network ACL already exists")
		}
	case "forwards":
		if there {
			return no(http.StatusConflict, "Failed creating forward: A forward for that listen address already exists")
		}
		for p := range f.items {
			if strings.HasSuffix(p, "/forwards/"+name) {
				return no(http.StatusInternalServerError, fmt.Sprintf("Failed creating forward: "+
					"Forward listen address %q overlaps with another network or NIC", name+"/32"))
			}
		}
	case "custom":
		if _, ok := f.items[path.Dir(path.Dir(at))]; !ok {
			return no(http.StatusNotFound, "Storage pool not found")
		}
		if there {
			return no(http.StatusConflict, "Volume by that name already exists")
		}
	case "instances":
		return f.instance(to, o, there)
	}
	f.items[to] = o
	return http.StatusCreated, fine(nil), ""
}

func configOf(o object) object {
	c, _ := o["config"].(object)
	return c
}

// knowsACLs refuses a network with an ACL that is not there.
func (f *Fake) knowsACLs(o object) (int, object, string) {
	for _, a := range strings.Split(text(configOf(o), "security.acls"), ",") {
		if _, ok := f.items["/1.0/network-acls/"+a]; a != "" && !ok {
			return no(http.StatusBadRequest, fmt.Sprintf("Network ACL %q does not exist", a))
		}
	}
	return 0, nil, ""
}

func (f *Fake) instance(to string, o object, there bool) (int, object, string) {
	src, _ := o["source"].(object)
	fingerprint := text(src, "fingerprint")
	_, known := f.items["/1.0/images/"+fingerprint]
	fail := ""
	switch {
	case there:
		fail = `Failed creating instance record: Add instance info to the database: This "instances" ` +
			`entry already exists`
	case !known:
		fail = "Image not provided for instance creation"
	case twice(o):
		fail = "Failed creating instance record: More than one disk device uses the same path"
	default:
		f.ids++
		c := configOf(o)
		c["volatile.uuid"], c["volatile.base_image"] = fmt.Sprintf("uuid-%d", f.ids), fingerprint
		delete(o, "source")
		o["status_code"], o["last_used_at"] = 102, "1970-01-01T00:00:00Z"
		f.items[to] = o
	}
	code, a := f.begin("Creating instance", to, func() string { return fail })
	return code, a, ""
}

// twice says whether two disks have one path.
func twice(o object) bool {
	seen := make(map[string]bool)
	devices, _ := o["devices"].(object)
	for _, d := range devices {
		if d, _ := d.(object); d["type"] == "disk" {
			if seen[text(d, "path")] {
				return true
			}
			seen[text(d, "path")] = true
		}
	}
	return false
}

// change is a PUT to a thing.
func (f *Fake) change(at string, body []byte) (int, object, string) {
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		return no(http.StatusBadRequest, err.Error())
	}
	if code, a, t := f.knowsACLs(o); code != 0 {
		return code, a, t
	}
	if twice(o) {
		return no(http.StatusBadRequest, "Invalid devices: More than one disk device uses the same path")
	}
	next := maps.Clone(f.items[at])
	for _, key := range []string{"config", "devices", "description", "profiles", "ingress", "egress", "ports"} {
		if v, ok := o[key]; ok {
			next[key] = v
		}
	}
	f.items[at] = next
	if path.Dir(at) == "/1.0/instances" {
		code, a := f.begin("Updating instance", at, func() string { return "" })
		return code, a, ""
	}
	return http.StatusOK, fine(object{}), ""
}

// remove is a DELETE of a thing.
func (f *Fake) remove(at string) (int, object, string) {
	used := len(f.view(at)["used_by"].([]string)) > 0
	switch path.Base(path.Dir(at)) {
	case "networks":
		if used {
			return no(http.StatusBadRequest, "The network is currently in use")
		}
		for _, p := range f.below(at + "/") {
			delete(f.items, p)
		}
	case "network-acls":
		for _, p := range f.below("/1.0/networks/") {
			if strings.Contains(","+text(configOf(f.items[p]), "security.acls")+",", ","+path.Base(at)+",") {
				return no(http.StatusInternalServerError, "Cannot delete an ACL that is in use")
			}
		}
	case "custom":
		if used {
			return no(http.StatusBadRequest, "The storage volume is still in use")
		}
	case "instances":
		if f.items[at]["status_code"] != 102 {
			return no(http.StatusBadRequest, "Instance is running")
		}
		code, a := f.begin("Deleting instance", at, func() string { delete(f.items, at); return "" })
		return code, a, ""
	case "images":
		code, a := f.begin("Deleting image", at, func() string { delete(f.items, at); return "" })
		return code, a, ""
	}
	delete(f.items, at)
	return http.StatusOK, fine(object{}), ""
}

// power is a PUT of an instance's state.
func (f *Fake) power(name string, body []byte) (int, object, string) {
	at := "/1.0/instances/" + name
	o, there := f.items[at]
	var w struct{ Action string }
	if err := json.Unmarshal(body, &w); err != nil || !there {
		return no(http.StatusNotFound, "Instance not found")
	}
	what, fail, to := map[string]string{"start": "Starting instance", "stop": "Stopping instance",
		"restart": "Restarting instance"}[w.Action], "", 103
	switch {
	case what == "":
		return no(http.StatusBadRequest, "Unknown action")
	case w.Action == "start" && o["status_code"] != 102:
		fail = "The instance is already running"
	case w.Action != "start" && o["status_code"] == 102:
		fail = "The instance is already stopped"
	case w.Action == "stop":
		to = 102
	}
	code, a := f.begin(what, at, func() string {
		if fail == "" && f.items[at] != nil {
			next := maps.Clone(f.items[at])
			next["status_code"], next["last_used_at"] = to, "2026-01-02T03:04:05Z"
			f.items[at] = next
		}
		return fail
	})
	return code, a, ""
}

// upload is a POST of an image in two files.
func (f *Fake) upload(r *http.Request, body []byte) (int, object, string) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return no(http.StatusBadRequest, err.Error())
	}
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	files := make(map[string][]byte)
	for {
		p, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err == nil {
			files[p.FormName()], err = io.ReadAll(p)
		}
		if err != nil {
			return no(http.StatusBadRequest, err.Error())
		}
	}
	h := sha256.New()
	h.Write(files["metadata"])
	h.Write(files["rootfs"])
	id := hex.EncodeToString(h.Sum(nil))
	var about struct {
		Architecture string
		Properties   object
	}
	t := tar.NewReader(bytes.NewReader(files["metadata"]))
	if h, err := t.Next(); err != nil || h.Name != "metadata.yaml" || json.NewDecoder(t).Decode(&about) != nil ||
		about.Architecture == "" {
		return no(http.StatusBadRequest, "Could not extract image metadata")
	}
	code, a := f.begin("Downloading image", "", func() string {
		at := "/1.0/images/" + id
		if f.items[at] != nil {
			return "Image with same fingerprint already exists"
		}
		f.items[at] = object{"fingerprint": id, "properties": about.Properties, "size": len(body), "type": "container"}
		return ""
	})
	f.ops[len(f.ops)-1].meta["fingerprint"] = id
	return code, a, ""
}
