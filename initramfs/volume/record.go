package volume

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Record is what a machine has of volumes beside its pool. A system finds them by itself, because each member says
// whose it is; an agent from the network starts no others than these.
//
//	{"version": 1,
//	 "arrays": [{"name": "home", "id": "0a1b2c3d-0000-4000-8000-0123456789ab", "devices": 2}],
//	 "groups": [{"name": "vg0", "devices": ["0a1b2c-3d00-0040-0080-0001-2345-678900"]}]}
type Record struct {
	Version int             `json:"version"`
	Arrays  []RecordedArray `json:"arrays,omitempty"`
	Groups  []RecordedGroup `json:"groups,omitempty"`
}

// RecordedArray is an array: how many devices it has, which say that they are of this ID.
type RecordedArray struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Devices int    `json:"devices"`
}

// RecordedGroup is a volume group: the IDs of its physical volumes.
type RecordedGroup struct {
	Name    string   `json:"name"`
	Devices []string `json:"devices"`
}

// recordVersion is that of the records that this package writes.
const recordVersion = 1

// limits of a record
const (
	maxRecord  = 64 << 10
	maxVolumes = 64
)

// ParseRecord reads a record as Bytes writes it. What it returns is valid.
func ParseRecord(b []byte) (r Record, err error) {
	wrong := func(err error) (Record, error) {
		return Record{}, fmt.Errorf("reading which volumes this machine has: %w", err)
	}
	if len(b) > maxRecord {
		return wrong(fmt.Errorf("it has %d bytes, %d are allowed", len(b), maxRecord))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return wrong(err)
	}
	if r.Version != recordVersion {
		return wrong(fmt.Errorf("its version is %d, and this program knows %d: replace the program by a newer one",
			r.Version, recordVersion))
	}
	if err := r.check(); err != nil {
		return wrong(err)
	}
	return r, nil
}

// names are those of volumes, and of physical volumes: each is an argument of a program.
var (
	names     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	deviceIDs = regexp.MustCompile(`^[0-9A-Za-z#!]{6}(-[0-9A-Za-z#!]{4}){5}-[0-9A-Za-z#!]{6}$`)
)

func (r Record) check() error {
	if len(r.Arrays) > maxVolumes || len(r.Groups) > maxVolumes {
		return fmt.Errorf("%d arrays and %d volume groups, %d are allowed", len(r.Arrays), len(r.Groups), maxVolumes)
	}
	for _, a := range r.Arrays {
		if !names.MatchString(a.Name) || len(a.ID) != 36 || uuid.Validate(a.ID) != nil || a.Devices < 1 ||
			a.Devices > maxVolumes {
			return fmt.Errorf("%q with ID %q and %d devices is not an array", a.Name, a.ID, a.Devices)
		}
	}
	for _, g := range r.Groups {
		if !names.MatchString(g.Name) || len(g.Devices) < 1 || len(g.Devices) > maxVolumes ||
			slices.ContainsFunc(g.Devices, func(id string) bool { return !deviceIDs.MatchString(id) }) {
			return fmt.Errorf("%q on %q is not a volume group", g.Name, g.Devices)
		}
	}
	return nil
}

// With is the record with more volumes. One of the same name takes the place of an older one.
func (r Record) With(more Record) Record {
	out := Record{Version: recordVersion, Arrays: slices.Clone(more.Arrays), Groups: slices.Clone(more.Groups)}
	for _, a := range r.Arrays {
		if !slices.ContainsFunc(more.Arrays, func(b RecordedArray) bool { return b.Name == a.Name }) {
			out.Arrays = append(out.Arrays, a)
		}
	}
	for _, g := range r.Groups {
		if !slices.ContainsFunc(more.Groups, func(b RecordedGroup) bool { return b.Name == g.Name }) {
			out.Groups = append(out.Groups, g)
		}
	}
	return out
}

// Bytes are the record as a file, nil for an empty one.
func (r Record) Bytes() ([]byte, error) {
	if len(r.Arrays)+len(r.Groups) == 0 {
		return nil, nil
	}
	r.Version = recordVersion
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("keeping which volumes this machine has: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// Programs are those that a system needs to start the volumes, and an agent too.
func (r Record) Programs() (out []string) {
	if len(r.Arrays) > 0 {
		out = append(out, Mdadm)
	}
	if len(r.Groups) > 0 {
		out = append(out, LVM)
	}
	return out
}

// Start starts the volumes of the record on the disks of this machine, and returns what stops them again. A volume none
// of whose devices is there is left out; one that lacks some is an error, and nothing is started then.
func (r Record) Start(ctx context.Context) (release func(context.Context) error, err error) {
	var undo []func(context.Context) error
	release = func(ctx context.Context) (err error) {
		for _, f := range slices.Backward(undo) {
			err = errors.Join(err, f(ctx))
		}
		undo = nil
		return err
	}
	fail := func(err error) (func(context.Context) error, error) {
		return nil, errors.Join(err, release(context.WithoutCancel(ctx)))
	}
	found, err := members()
	if err != nil {
		return fail(err)
	}
	for _, a := range r.Arrays {
		on := found[a.ID]
		if len(on) == 0 {
			continue
		}
		if len(on) != a.Devices {
			return fail(fmt.Errorf("the array %s has %d of its %d disks: start the system of this machine, and repair "+
				"the array there with mdadm", a.Name, len(on), a.Devices))
		}
		array := Array{Name: a.Name, ID: a.ID, Devices: on}
		undo = append(undo, array.Release)
		if err := array.Start(ctx); err != nil {
			return fail(err)
		}
		if id, err := idAt(array.Node()); err == nil && id != "" {
			found[id] = append(found[id], array.Node())
		}
	}
	for _, g := range r.Groups {
		var on, missing []string
		for _, id := range g.Devices {
			if node := found[id]; len(node) == 1 {
				on = append(on, node[0])
			} else {
				missing = append(missing, id)
			}
		}
		if len(on) == 0 {
			continue
		}
		if len(missing) > 0 {
			return fail(fmt.Errorf("the volume group %s lacks the physical volumes %s: start the system of this "+
				"machine, and repair it there with lvm", g.Name, strings.Join(missing, ", ")))
		}
		group := Group{Name: g.Name, Devices: on}
		undo = append(undo, group.Release)
		if err := group.Start(ctx); err != nil {
			return fail(err)
		}
	}
	return release, nil
}

// members are the partitions of this machine that are members of a volume, by what IDOf says of them.
func members() (map[string][]string, error) {
	all, err := os.ReadDir("/sys/class/block")
	if err != nil {
		return nil, fmt.Errorf("looking for volumes: %w", err)
	}
	out := map[string][]string{}
	for _, e := range all {
		if _, err := os.Stat(filepath.Join("/sys/class/block", e.Name(), "partition")); err != nil {
			continue
		}
		node := "/dev/" + strings.ReplaceAll(e.Name(), "!", "/")
		if id, err := idAt(node); err == nil && id != "" {
			out[id] = append(out[id], node)
		}
	}
	return out, nil
}

func idAt(node string) (string, error) {
	f, err := os.Open(node)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return IDOf(f), nil
}
