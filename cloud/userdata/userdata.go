// Package userdata makes the user-data of a server out of parts.
//
// Call Read for files, Merge with all parts of one server in the order in which later ones win, and Render with the
// provider's limit. Package seed makes the disk in which a server finds the result.
//
// # How parts are merged
//
// Mappings are merged key by key. Where two parts say different things the later one wins, and a Conflict says so. A
// null takes away what earlier parts said. Lists are merged by what they hold:
//
//	users, groups                        by name; what they say of one name is merged
//	  groups, ssh_authorized_keys, …     of a user, members of a group: each entry once
//	write_files                          by path, the later file whole; those with append are all kept
//	packages                             by name, each once; the later version
//	bootcmd, runcmd                      one after the other
//	mounts                               by mount point, of swap by device
//	ssh_authorized_keys, fs_setup,       each entry once
//	  ssh_import_id, ntp.servers,
//	  ntp.pools, ca_certs.trusted
//	all others                           the later list alone
//
// Scripts run in their order, after runcmd.
//
// What only the server can make sense of (an Opaque part: templates, includes, handlers, scripts for each boot) goes to
// it as it is, in multipart. cloud-init merges what comes of that before our document and by its own rules; our
// document then follows in two parts, whose Merge-Type makes cloud-init put our lists before theirs and let our other
// values win.
//
// # What it guarantees
//
// No function but those that say so reads a clock, a random number, a disk or a network: the same parts give the same
// bytes, and Merge of what Merge returned is the same again. Input may be hostile: it is bounded by MaxInput, MaxDepth
// and MaxValues, and a fault is an error that names the part and the place.
//
// Sources: cloud-init 22.4, docs "User data formats", "Merging User-Data Sections", "Module reference", "NoCloud",
// "Config drive"; cloudinit/handlers/__init__.py, handlers/cloud_config.py, mergers/m_dict.py, m_list.py, user_data.py,
// config/cc_write_files.py. It reads YAML 1.1 (PyYAML), so 1.1 is what is written.
package userdata

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Bounds of what one part may be.
const (
	MaxInput  = 1 << 20 // bytes of YAML or of a script
	MaxDepth  = 32      // mappings and lists inside one another
	MaxValues = 50_000  // values of one part
)

// Part is one piece of user-data: exactly one of Config, Script, File and Opaque is set.
type Part struct {
	// From is where the part comes from, for people, such as "role web, stack.yaml:12:3". Conflicts and errors name it.
	From string

	// Config is a cloud-config mapping: of map[string]any, []any, string, bool, int, int64, uint64, float64 and nil.
	Config map[string]any
	// Script starts with #! or #cloud-boothook.
	Script string
	// File is left on the server.
	File *File
	// Opaque goes to the server as it is.
	Opaque *Opaque `json:",omitempty"`
}

// Opaque is what cannot be merged here, since only the server knows what comes of it.
type Opaque struct {
	Type    string // MIME type in small letters, such as text/jinja2
	Name    string // of the file: letters, digits, ".", "_" and "-"; "" for a name of ours
	Content []byte
}

const (
	boothook   = "#cloud-boothook"
	cloudType  = "text/cloud-config"
	scriptType = "text/x-shellscript"
	hookType   = "text/cloud-boothook"
)

// check reports whether exactly one of the contents is there, and a script is one.
func (p *Part) check() error {
	var kinds int
	for _, set := range []bool{p.Config != nil, p.Script != "", p.File != nil, p.Opaque != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return fmt.Errorf("reading user-data %s: it must be a mapping, a script or a file", p.From)
	case p.Opaque != nil:
		if err := p.Opaque.check(); err != nil {
			return fmt.Errorf("reading user-data %s: %w", p.From, err)
		}
		return nil
	case p.Script == "":
		return nil
	case len(p.Script) > MaxInput:
		return fmt.Errorf("reading user-data %s: the script has %d bytes, %d are allowed", p.From, len(p.Script),
			MaxInput)
	case !strings.HasPrefix(p.Script, "#!") && !strings.HasPrefix(p.Script, boothook):
		return fmt.Errorf("reading user-data %s: a script must start with #! or %s", p.From, boothook)
	}
	return nil
}

func (o *Opaque) check() error {
	switch {
	case !regexp.MustCompile(`^[a-z]+/[a-z0-9][a-z0-9.+-]{0,99}$`).MatchString(o.Type):
		return fmt.Errorf("%.100q is not a MIME type", o.Type)
	case o.Name != "" && !isName(o.Name):
		return fmt.Errorf("%.100q is not a name for a file", o.Name)
	case len(o.Content) > MaxInput:
		return fmt.Errorf("it has %d bytes, %d are allowed", len(o.Content), MaxInput)
	}
	return nil
}

// isName reports whether cloud-init stores a part by this name in the directory that it chooses.
func isName(s string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`).MatchString(s)
}

// errTooDeep and errTooMany are told with the place by who finds them.
func errTooDeep() error { return fmt.Errorf("more than %d levels inside one another", MaxDepth) }

func errTooMany() error { return errors.New("too many values") }
