package settingfile

import (
	"errors"
	"slices"

	"griddle/appliance/setting"
	"griddle/cloud/yamltree"
)

// MaxMachines is how many bytes a file with the settings of several machines may have.
const MaxMachines = 3 << 20

// ParseMachines reads a file that has the settings of several machines: a mapping of names, MAC addresses or UUIDs to
// settings. Mistakes are reported as "FILE:LINE:COLUMN: MACHINE: PLACE: what is wrong".
func ParseMachines(name string, b []byte) (map[string]File, error) {
	r := yamltree.NewReader(name)
	n := r.Read(b, yamltree.Options{Bytes: MaxMachines})
	if n != nil {
		r.Want(n, "", yamltree.Mapping, "a mapping of machines to their settings")
	}
	if err := r.Faults().Err(); err != nil {
		return nil, err
	}
	out := map[string]File{}
	var all yamltree.Faults
	for _, e := range n.Keys {
		f := File{Name: name, places: map[string]yamltree.Place{}, start: e.At}
		v := e.Value.Plainly()
		setting.Places(v, func(place string, steps []any) {
			if place != "" { // which is e itself
				f.places[place] = follow(e.Value, steps)
			}
		})
		f, err := f.of(v)
		var faults yamltree.Faults
		if errors.As(err, &faults) {
			for i := range faults {
				if faults[i].Line == 0 {
					faults[i].Place = e.At
				}
			}
			all = append(all, Of(e.Name, faults)...)
		} else if err != nil {
			return nil, err
		}
		out[e.Name] = f
	}
	return out, all.Sorted().Err()
}

// Of names the machine that faults belong to.
func Of(machine string, faults yamltree.Faults) yamltree.Faults {
	out := slices.Clone(faults)
	for i := range out {
		if out[i].Path = machine + ": " + out[i].Path; faults[i].Path == "" {
			out[i].Path = machine
		}
	}
	return out
}
