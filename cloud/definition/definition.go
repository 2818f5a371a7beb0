// Package definition reads what images for clouds are made from, and makes them: one definition gives several outputs,
// such as a qcow2 for QEMU and OpenStack, a raw disk for EC2, and a tree for containers or to publish for bare metal.
//
// Call Load; Definition.Preview tells what would be made, and Builder.Build makes it, and puts what is not registered
// in a directory under names such as web-kvm-20261120.1-amd64.qcow2. A definition is a YAML file:
//
//	name: web
//	include: [base.yaml]          # these first, in this order; relative to this file
//	use: [small]                  # profiles that are always used; the caller can add others
//	image: web:stable             # from the catalog
//	arch: amd64
//	disk:
//	  filesystem: ext4            # or btrfs
//	  size: 4GiB                  # bytes, or MiB, GiB, TiB; left out: what fits
//	  title: Web                  # in the boot menu
//	  args: [quiet]               # kernel arguments
//	  dropDevices: true           # leave out device nodes below /dev
//	files:                        # laid over the image; exactly one of content, base64, source, link, directory
//	  /etc/motd: {content: "hello\n", mode: 0644, owner: 0:0}
//	  /etc/logo: {source: files/logo.png}
//	  /srv/www:  {directory: true, mode: 0750, owner: 33:33}
//	  /etc/old:  null             # not laid over after all
//	outputs:
//	  kvm: {format: qcow2}
//	  ec2: {format: raw, register: ec2, disk: {args+: [nvme_core.io_timeout=255]}}
//	profiles:
//	  small: {inherit: [lean], disk: {size: 2GiB}}
//	  lean:  {files: {/etc/issue: {content: ""}}}
//
// How they merge. The order is: the files that a file includes, the file itself, the profiles that are used (each after
// those that it inherits), and for one output what the output says of disk and files. Later wins: mappings are merged
// key by key, anything else is replaced. A list replaces an earlier list; under its key with a "+" behind it, it is put
// behind the earlier one. A null takes away what was there. A file with a new source of its content does not keep the
// earlier content. Wherever a value takes the place of another one, that is a Conflict, which Preview shows.
//
// What is merged is bounded and strict: unknown keys, repeated keys, anchors, aliases and tags are faults, and all
// faults are reported at once, each with file, line and column. The content of files is taken byte for byte. Files are
// read through an fs.FS, and nothing outside of it. The same files give the same Definition.
package definition

import (
	"fmt"

	"griddle/cloud/diskimage"
	"griddle/cloud/yamltree"
)

// Definition is a definition with all that it includes, merged.
type Definition struct {
	Name      string
	Image     string // a reference into the catalog: web:stable
	Arch      string
	Profiles  []string // in the order in which they were merged
	Sources   []string // files, in the order in which they were merged
	Outputs   []Output // by name
	Conflicts []Conflict
}

// Output is one thing to make.
type Output struct {
	Name     string
	Options  diskimage.Options
	Register string // name of the target that it is registered with; "" for none
}

// Conflict says that a value took the place of another one.
type Conflict struct {
	Path     string // such as disk.size, or outputs.ec2: disk.size where it is one output's alone
	Old, New string // as they are shown to people: long ones by their length
	OldAt    yamltree.Place
	NewAt    yamltree.Place
}

// String is one line for people.
func (c Conflict) String() string {
	return fmt.Sprintf("%s: %s (%s) instead of %s (%s)", c.Path, c.New, c.NewAt, c.Old, c.OldAt)
}

// Bounds.
const (
	maxFile    = yamltree.MaxBytes
	maxSource  = 64 << 20 // bytes of the files that are laid over an image, all together
	maxDepth   = 16       // of what a file nests
	maxSources = 64       // YAML files of a definition
)
