package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// disk is the disk today and tomorrow.
func (t *target) disk() Disk {
	d := Disk{ID: t.want.ID, Identity: identity(t.have), Path: t.have.Path, Model: t.have.Model, Before: t.whatIs()}
	for _, p := range t.parts {
		if p.fate != Made {
			d.Before = append(d.Before, pictured(p.Partition, p.fate, p.Size))
		}
		d.After = append(d.After, p.tomorrow(t.table))
	}
	return d
}

// whatIs is what a disk has whose table is made.
func (t *target) whatIs() (out []Part) {
	if !t.fresh {
		return nil
	}
	for _, p := range t.have.Partitions {
		out = append(out, pictured(p, Lost, p.Size))
	}
	if d := t.have; len(out) == 0 && !d.Blank() {
		kind := d.Table
		if kind == "" && d.Signature == "" {
			kind = "unknown content"
		}
		out = append(out, Part{Size: d.Size, Type: kind, Filesystem: d.Signature, Label: d.Label, Fate: Lost})
	}
	return out
}

func pictured(p job.Partition, fate Fate, size int64) Part {
	return Part{Number: p.Number, Start: p.Start, Size: size, Type: p.Type, Name: p.Name, Filesystem: p.Filesystem,
		Label: p.Label, UUID: p.UUID, Installed: p.Installed, Unfinished: p.Unfinished, Fate: fate}
}

// tomorrow is the partition as it will be.
func (p part) tomorrow(table string) Part {
	out := pictured(p.Partition, p.fate, p.to)
	if p.entry == nil {
		return out
	}
	made := p.entry.Made()
	out.Mount, out.Use = made.Mount, p.entry.Use
	if p.entry.LUKS != nil {
		out.Unlock, out.Inside = unlock(*p.entry.LUKS), made.Filesystem
	}
	if p.fate == Emptied {
		kind, name := typeOf(p.entry.Use)
		out.Type, out.Filesystem, out.Label, out.UUID = kind, p.entry.Outside(), made.Label, ""
		out.Installed, out.Unfinished = "", ""
		if name != "" && table == "gpt" {
			out.Name = name
		}
	}
	return out
}

// words says what the plan does, for people.
func (m *maker) words(p *Plan) {
	for _, t := range m.targets {
		say := func(list *[]string, format string, args ...any) {
			*list = append(*list, fmt.Sprintf("disk %s: %s", t.want.ID, fmt.Sprintf(format, args...)))
		}
		if t.fresh {
			for _, line := range t.have.Holds() {
				say(&p.Losses, "%s", line)
			}
			for _, q := range slices.Concat(t.have.Partitions, []job.Partition{{Filesystem: t.have.Signature}}) {
				kind := member(q)
				if q.Filesystem == "btrfs" && q.Variant != "" { // one of several devices
					kind = "btrfs, " + job.Printable(q.Variant)
				}
				if kind != "" {
					say(&p.Notes, "it is a part of something larger (%s), which may lose data on other disks too", kind)
				}
			}
		}
		for _, q := range t.parts {
			switch q.fate {
			case Emptied:
				of := ""
				if q.Unfinished != "" {
					of = "an install that did not finish, "
				}
				say(&p.Losses, "what is in %s%s", of, whole(q.Partition))
			case Shrunk:
				say(&p.Shrinks, "%s, to %s: %s become free", whole(q.Partition), job.Bytes(q.to),
					job.Bytes(q.Size-q.to))
			case Stays:
				say(&p.Keeps, "%s", whole(q.Partition))
			}
		}
		p.Notes = append(p.Notes, t.notes...)
	}
	if others := len(m.Disks) - len(m.targets); others > 0 {
		p.Keeps = append(p.Keeps, fmt.Sprintf("all of %d other disks", others))
		if others == 1 {
			p.Keeps[len(p.Keeps)-1] = "all of the other disk"
		}
	}
}

// hash is the hash of what the package doc says.
func (p Plan) hash() string {
	type disk struct {
		ID            string
		Is            Identity
		Before, After []Part
	}
	counts := struct {
		Version int
		Disks   []disk
		Volumes []Volume `json:",omitempty"`
		Steps   []Step
	}{Version: p.Version, Volumes: p.Volumes, Steps: p.Steps}
	for _, d := range p.Disks {
		after := slices.Clone(d.After)
		for i := range after {
			if use := after[i].Use; use != layout.Root && use != layout.Persistent {
				after[i].Use = "" // type, filesystem and place of a partition say it
			}
		}
		counts.Disks = append(counts.Disks, disk{d.ID, d.Identity, d.Before, after})
	}
	b, err := json.Marshal(counts)
	if err != nil {
		panic(err) // these types have nothing that JSON does not
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
