// Package metadata makes the tarball that tells LXD about an image: what it is, and which files each
// container made from it gets.
//
// Call Tar. With it goes the root filesystem, as a second file ("split image"), in any form that LXD unpacks.
//
//	metadata.yaml              architecture, properties, and for each file the template that makes it
//	templates/user-data.tpl    -> /var/lib/cloud/seed/nocloud-net/user-data
//	templates/meta-data.tpl    -> /var/lib/cloud/seed/nocloud-net/meta-data
//	templates/network.tpl      -> /var/lib/cloud/seed/nocloud-net/network-config
//	templates/hostname.tpl     -> /etc/hostname
//
// cloud-init finds its user-data in the seed directory of NoCloud, which every cloud-init knows, whether or not it
// knows LXD; an image without cloud-init has a few small files more. LXD trims line breaks from the end of a value, so
// that user-data always ends in exactly one.
//
// The same image gives the same bytes. Source: https://documentation.ubuntu.com/lxd/en/stable-5.0/image-handling/ and,
// for the templates' language, pongo2.
package metadata

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Configuration keys of an instance that the templates read.
const (
	KeyUserData = "user.user-data"      // cloud-init's user-data
	KeyName     = "user.griddle-name"   // the host name; the instance's own name where it is missing
	KeyVendor   = "user.vendor-data"    // cloud-init's vendor-data; empty where it is missing
	keyNetwork  = "user.network-config" // cloud-init's network configuration; DHCP on eth0 where it is missing
)

// Image is what Tar tells of an image.
type Image struct {
	Arch       string            // amd64 or arm64
	Properties map[string]string // what people and programs find it by
}

// Architecture is LXD's name of an architecture, and false for one that is not known here.
func Architecture(arch string) (string, bool) {
	name, ok := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
	return name, ok
}

const seed = "/var/lib/cloud/seed/nocloud-net/"

// files are the templates, by the path that they make.
func files() []file {
	return []file{
		{"hostname.tpl", "/etc/hostname", `{{ config_get("` + KeyName + `", container.name) }}` + "\n", false},
		{"meta-data.tpl", seed + "meta-data", strings.Join([]string{
			`instance-id: {{ container.name }}-{{ config_get("volatile.uuid", "1") }}`,
			`local-hostname: {{ config_get("` + KeyName + `", container.name) }}`, "",
		}, "\n"), true},
		{"network.tpl", seed + "network-config",
			`{{ config_get("` + keyNetwork + `", properties.network) }}` + "\n", true},
		{"user-data.tpl", seed + "user-data",
			`{{ config_get("` + KeyUserData + `", properties.default) }}` + "\n", true},
		{"vendor-data.tpl", seed + "vendor-data",
			`{{ config_get("` + KeyVendor + `", properties.default) }}` + "\n", true},
	}
}

type file struct {
	name, path, text string
	once             bool // when the container is made, not at each start
}

// The values that stand in where the configuration says nothing.
const (
	nothing = "#cloud-config\n{}"
	dhcp    = "version: 2\nethernets:\n  eth0: {dhcp4: true}"
)

type template struct {
	When       []string          `json:"when"`
	Template   string            `json:"template"`
	Properties map[string]string `json:"properties,omitempty"`
}

// Tar is the tarball, uncompressed. It fails for an architecture that LXD has no name for here.
func Tar(i Image) ([]byte, error) {
	arch, ok := Architecture(i.Arch)
	if !ok {
		return nil, fmt.Errorf("describing an image for LXD: architecture %q is neither amd64 nor arm64", i.Arch)
	}
	templates := make(map[string]template)
	for _, f := range files() {
		t := template{When: []string{"create", "copy"}, Template: f.name,
			Properties: map[string]string{"default": nothing, "network": dhcp}}
		if !f.once {
			t = template{When: []string{"create", "copy", "rename"}, Template: f.name}
		}
		templates[f.path] = t
	}
	// JSON is YAML, and its order of keys is fixed. LXD takes an image without a date for one of 1970, and so do we:
	// the bytes say nothing of when they were made.
	y, err := json.MarshalIndent(struct {
		Architecture string              `json:"architecture"`
		Created      int64               `json:"creation_date"`
		Properties   map[string]string   `json:"properties"`
		Templates    map[string]template `json:"templates"`
	}{arch, 1, i.Properties, templates}, "", " ")
	if err != nil {
		return nil, fmt.Errorf("describing an image for LXD: %w", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h tar.Header, text []byte) {
		h.Size, h.ModTime, h.Format = int64(len(text)), time.Unix(1, 0), tar.FormatUSTAR
		if err == nil {
			err = w.WriteHeader(&h)
		}
		if err == nil {
			_, err = w.Write(text)
		}
	}
	put(tar.Header{Typeflag: tar.TypeReg, Name: "metadata.yaml", Mode: 0o644}, append(y, '\n'))
	put(tar.Header{Typeflag: tar.TypeDir, Name: "templates/", Mode: 0o755}, nil)
	for _, f := range files() {
		put(tar.Header{Typeflag: tar.TypeReg, Name: "templates/" + f.name, Mode: 0o644}, []byte(f.text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("describing an image for LXD: %w", err)
	}
	return b.Bytes(), nil
}
