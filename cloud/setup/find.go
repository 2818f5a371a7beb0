package setup

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"griddle/cloud/yamltree"
)

// maxFile bounds a file of credentials that is looked at, in bytes.
const maxFile = 64 << 10

// Found is a provider that can be used from here.
type Found struct {
	Provider string // qemu, lxd, openstack, ec2
	Account  string // a cloud of clouds.yaml or a profile of AWS; else empty
	Region   string // if the file with the credentials has one
	From     string // where it was found: a path or a variable, never what it holds
	Socket   string // of LXD, where it is not DefaultLXDSocket: the stack file then names it
}

// Computer is what Find looks at.
type Computer struct {
	Files  fs.FS               // of the root directory
	Getenv func(string) string // of griddle's own environment
	Home   string              // absolute; may be empty
	Work   string              // the current directory, absolute; may be empty
}

// Find looks for credentials and for what can run servers on this computer: QEMU, LXD's socket, OpenStack's variables
// and clouds.yaml, AWS's variables and files. Nothing is asked over a network, and a file that cannot be read is
// skipped.
func Find(c Computer) []Found {
	return slices.Concat(c.qemu(), c.lxd(), c.openstack(), c.aws())
}

// name is an absolute path as fs.FS has it.
func name(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

func (c Computer) there(p string, what func(fs.FileMode) bool) bool {
	i, err := fs.Stat(c.Files, name(p))
	return err == nil && what(i.Mode())
}

// read returns a file of ordinary size, else nil.
func (c Computer) read(p string) []byte {
	if !path.IsAbs(p) || !c.there(p, fs.FileMode.IsRegular) {
		return nil
	}
	f, err := c.Files.Open(name(p))
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(b) > maxFile {
		return nil
	}
	return b
}

// absolute is p, from the current directory where it is relative.
func (c Computer) absolute(p string) string {
	if path.IsAbs(p) || c.Work == "" {
		return p
	}
	return path.Join(c.Work, p)
}

func (c Computer) qemu() []Found {
	for _, dir := range strings.Split(c.Getenv("PATH"), ":") {
		p := path.Join(dir, "qemu-system-x86_64")
		if path.IsAbs(p) && c.there(p, func(m fs.FileMode) bool { return m.IsRegular() && m&0o111 != 0 }) {
			return []Found{{Provider: "qemu", From: p}}
		}
	}
	return nil
}

// usualKey is where ssh-keygen leaves a public key, as a stack file names it.
const usualKey = "~/.ssh/id_ed25519.pub"

// PublicKey is the file with the person's ssh public key that is there, as a stack file names it; empty for none.
func PublicKey(c Computer) string {
	for _, k := range []string{usualKey, "~/.ssh/id_ecdsa.pub", "~/.ssh/id_rsa.pub"} {
		if c.Home != "" && c.there(path.Join(c.Home, strings.TrimPrefix(k, "~")), fs.FileMode.IsRegular) {
			return k
		}
	}
	return ""
}

// DefaultLXDSocket is where Debian's LXD has its socket.
const DefaultLXDSocket = "/var/lib/lxd/unix.socket"

const snapSocket = "/var/snap/lxd/common/lxd/unix.socket"

// LXDSocket is the socket of a stack file without one: what LXD_SOCKET, LXD_DIR, INCUS_SOCKET or INCUS_DIR names, else
// the first that exists of Debian, of the snap and of Incus, else DefaultLXDSocket.
func LXDSocket(c Computer) string {
	if s := c.socket(DefaultLXDSocket, snapSocket); s != "" {
		return s
	}
	return DefaultLXDSocket
}

// socket is the first of what variables name, of places, and of Incus's places that is there; empty for none.
func (c Computer) socket(places ...string) string {
	var all []string
	for _, v := range []struct{ variable, below string }{{"LXD_SOCKET", ""}, {"LXD_DIR", "unix.socket"},
		{"INCUS_SOCKET", ""}, {"INCUS_DIR", "unix.socket"}} {
		if s := c.Getenv(v.variable); s != "" {
			all = append(all, path.Join(s, v.below))
		}
	}
	for _, s := range slices.Concat(all, places, []string{"/var/lib/incus/unix.socket", "/run/incus/unix.socket"}) {
		if path.IsAbs(s) && c.there(s, func(m fs.FileMode) bool { return m.Type() == fs.ModeSocket }) {
			return s
		}
	}
	return ""
}

func (c Computer) lxd() []Found {
	s := c.socket(snapSocket, DefaultLXDSocket) // the file names one that is not the default
	switch s {
	case "":
		return nil
	case DefaultLXDSocket:
		return []Found{{Provider: "lxd", From: s}}
	}
	return []Found{{Provider: "lxd", From: s, Socket: s}}
}

// openstack looks where OpenStack's own clients do (openstacksdk, "Configuring OpenStack SDK Applications").
func (c Computer) openstack() []Found {
	var out []Found
	if c.Getenv("OS_AUTH_URL") != "" &&
		(c.Getenv("OS_USERNAME")+c.Getenv("OS_USER_ID")+
			c.Getenv("OS_APPLICATION_CREDENTIAL_ID")+c.Getenv("OS_TOKEN") != "") {
		out = append(out, Found{Provider: "openstack", Region: c.Getenv("OS_REGION_NAME"), From: "OS_AUTH_URL"})
	}
	files := []string{path.Join(c.Home, ".config/openstack/clouds.yaml"), "/etc/openstack/clouds.yaml"}
	if c.Work != "" {
		files = append([]string{path.Join(c.Work, "clouds.yaml")}, files...)
	}
	if p := c.Getenv("OS_CLIENT_CONFIG_FILE"); p != "" {
		files = append([]string{c.absolute(p)}, files...)
	}
	for _, p := range files {
		b := c.read(p)
		if b == nil {
			continue
		}
		clouds := parseClouds(b)
		for i := range clouds {
			clouds[i].From = p
		}
		// The cloud that is chosen already comes first.
		if i := slices.IndexFunc(clouds, func(f Found) bool { return f.Account == c.Getenv("OS_CLOUD") }); i > 0 {
			clouds[0], clouds[i] = clouds[i], clouds[0]
		}
		return append(out, clouds...) // the first file counts alone
	}
	return out
}

// parseClouds reads the names and regions of clouds.yaml, by name; nil if it has a fault.
func parseClouds(b []byte) (out []Found) {
	r := yamltree.NewReader("")
	n := r.Read(b, yamltree.Options{Bytes: maxFile, All: true})
	if n == nil || len(r.Faults()) > 0 {
		return nil
	}
	for name, cloud := range merged(merged(n)["clouds"]) {
		f := Found{Provider: "openstack", Account: name}
		if region := merged(cloud)["region_name"]; region != nil && region.Kind == yamltree.Text {
			f.Region = region.Raw
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Found) int { return strings.Compare(a.Account, b.Account) })
	return out
}

// merged are the keys of a mapping with those that its merge keys bring in (yaml.org/type/merge.html).
func merged(n *yamltree.Node) map[string]*yamltree.Node {
	out := map[string]*yamltree.Node{}
	for _, e := range n.Entries() {
		if !e.Merge {
			out[e.Name] = e.Value
		}
	}
	for _, e := range n.Entries() {
		if !e.Merge {
			continue
		}
		for _, from := range append([]*yamltree.Node{e.Value}, e.Value.Items...) {
			for k, v := range merged(from) {
				if out[k] == nil {
					out[k] = v
				}
			}
		}
	}
	return out
}

// aws looks where AWS's own clients do (AWS SDKs and Tools Reference Guide, "Shared config and credentials files").
func (c Computer) aws() []Found {
	var out []Found
	region := c.Getenv("AWS_REGION")
	if region == "" {
		region = c.Getenv("AWS_DEFAULT_REGION")
	}
	if c.Getenv("AWS_ACCESS_KEY_ID") != "" && c.Getenv("AWS_SECRET_ACCESS_KEY") != "" {
		out = append(out, Found{Provider: "ec2", Region: region, From: "AWS_ACCESS_KEY_ID"})
	}
	profiles := map[string]Found{}
	for _, f := range []struct{ variable, path, prefix string }{
		{"AWS_CONFIG_FILE", ".aws/config", "profile "},
		{"AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", ""},
	} {
		p := path.Join(c.Home, f.path)
		if v := c.Getenv(f.variable); v != "" {
			p = c.absolute(v)
		}
		for name, r := range parseProfiles(c.read(p), f.prefix) {
			x, ok := profiles[name]
			if !ok {
				x = Found{Provider: "ec2", Account: name, From: p}
			}
			if x.Region == "" {
				x.Region = r
			}
			profiles[name] = x
		}
	}
	start := len(out)
	for _, x := range profiles {
		if region != "" {
			x.Region = region
		}
		out = append(out, x)
	}
	first := c.Getenv("AWS_PROFILE")
	if first == "" {
		first = "default"
	}
	slices.SortFunc(out[start:], func(a, b Found) int {
		if (a.Account == first) != (b.Account == first) {
			return map[bool]int{true: -1, false: 1}[a.Account == first]
		}
		return strings.Compare(a.Account, b.Account)
	})
	return out
}

// parseProfiles reads the sections of a file of AWS: the region of each profile, which may be empty. In the file
// "config" the names of all but default begin with prefix; other sections are no profiles.
func parseProfiles(b []byte, prefix string) map[string]string {
	out := map[string]string{}
	section := ""
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if inner, ok := strings.CutPrefix(line, "["); ok {
			inner, _, _ = strings.Cut(inner, "]")
			inner = strings.TrimSpace(inner)
			name, ok := strings.CutPrefix(inner, prefix)
			if section = strings.TrimSpace(name); !ok {
				if section = ""; inner == "default" {
					section = inner
				}
			}
			if section != "" {
				out[section] += ""
			}
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && section != "" && strings.TrimSpace(key) == "region" {
			out[section] = strings.TrimSpace(value)
		}
	}
	return out
}
