// Package userdata makes the user-data of a server out of parts, and the seeds in which cloud-init finds it.
//
// Call Parse for what stands in files, Merge with all parts of one server in the order in which later ones win, and
// Render with the provider's limit. NoCloud and ConfigDrive lay the result out as files, ISO makes a disk of them, and
// Handler serves them over HTTP.
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
// # What it guarantees
//
// No function but those that say so reads a clock, a random number, a disk or a network: the same parts give the same
// bytes, and Merge of what Merge returned is the same again. Input may be hostile: it is bounded by MaxInput, MaxDepth
// and MaxValues, and a fault is an error that names the part and the place.
//
// Sources: cloud-init 22.4, docs "User data formats", "Module reference", "NoCloud", "Config drive"; cloudinit/
// handlers/__init__.py, user_data.py, config/cc_write_files.py. It reads YAML 1.1 (PyYAML), so 1.1 is what is written.
package userdata

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of what one part may be.
const (
	MaxInput  = 1 << 20 // bytes of YAML or of a script
	MaxDepth  = 32      // mappings and lists inside one another
	MaxValues = 50_000  // values of one part
)

// Part is one piece of user-data: exactly one of Config, Script and File is set.
type Part struct {
	// From says to people where the part stands, such as "role web, stack.yaml:12:3". Conflicts and errors name it.
	From string

	// Config is a cloud-config mapping: of map[string]any, []any, string, bool, int, int64, uint64, float64 and nil.
	Config map[string]any
	// Script starts with #! or #cloud-boothook.
	Script string
	// File is left on the server.
	File *File
}

// Parse reads what a file holds: a script where it starts with #! or #cloud-boothook, else cloud-config, whose first
// line must be #cloud-config as cloud-init itself demands. from becomes Part.From.
func Parse(from string, b []byte) (Part, error) {
	if len(b) > MaxInput {
		return Part{}, fmt.Errorf("reading user-data %s: it has %d bytes, %d are allowed", from, len(b), MaxInput)
	}
	first, _, _ := strings.Cut(string(b[:min(len(b), 128)]), "\n")
	first = strings.TrimRight(first, " \r")
	switch {
	case first == "#cloud-config":
		config, err := ParseConfig(b)
		if err != nil {
			return Part{}, fmt.Errorf("reading user-data %s: %w", from, err)
		}
		return Part{From: from, Config: config}, nil
	case strings.HasPrefix(first, "#!"), strings.HasPrefix(first, boothook):
		p := Part{From: from, Script: string(b)}
		return p, p.check()
	}
	return Part{}, fmt.Errorf("reading user-data %s: it must start with #cloud-config, #! or %s", from, boothook)
}

const boothook = "#cloud-boothook"

// check reports whether exactly one of the contents is there, and a script is one.
func (p *Part) check() error {
	var kinds int
	for _, set := range []bool{p.Config != nil, p.Script != "", p.File != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return fmt.Errorf("reading user-data %s: it must be one of a mapping, a script and a file", p.From)
	case p.Script == "":
		return nil
	case len(p.Script) > MaxInput:
		return fmt.Errorf("reading user-data %s: the script has %d bytes, %d are allowed", p.From, len(p.Script), MaxInput)
	case !strings.HasPrefix(p.Script, "#!") && !strings.HasPrefix(p.Script, boothook):
		return fmt.Errorf("reading user-data %s: a script must start with #! or %s", p.From, boothook)
	}
	return nil
}

// errTooDeep and errTooMany are told with the place by who finds them.
func errTooDeep() error { return fmt.Errorf("more than %d levels inside one another", MaxDepth) }

func errTooMany() error { return errors.New("too many values") }
