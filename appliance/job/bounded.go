package job

import (
	"net"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of what a machine may say about itself. Real machines stay far below. All of it together is less than MaxBody
// even if each byte takes six in JSON.
const (
	maxText       = 128 // bytes of one string
	maxMACs       = 64
	maxSources    = 8
	maxFeatures   = 16 // of an agent, and of a service
	maxDisks      = 128
	maxPartitions = 512 // of all disks
	maxWord       = 32  // bytes of a string that is a word
	maxSentence   = 300 // bytes of a string that says what is wrong, and what to do
	maxID         = 36  // bytes of a UUID
	maxType       = 64  // bytes of the type of a partition
	maxSystems    = 64  // of all disks: systems, and reasons that are longer than a word
	maxPools      = 4   // of all disks; each has maxRoots roots and as many images
	maxPaths      = 128 // of all disks that have several, and as many areas of eMMCs
)

// Bounded returns h with every string and list cut to what the server keeps, and with the identity normalised. The
// client applies it before it sends, and the server again to what it receives.
func (h Hello) Bounded() Hello {
	h.Boot, h.Agent = clip(h.Boot), clip(h.Agent)
	h.Sources = append([]string(nil), h.Sources[:min(len(h.Sources), maxSources)]...)
	for i := range h.Sources {
		h.Sources[i] = clip(h.Sources[i])
	}
	h.Features = append([]string(nil), h.Features[:min(len(h.Features), maxFeatures)]...)
	for i := range h.Features {
		h.Features[i] = clip(h.Features[i])
	}
	h.Identity = h.Identity.Bounded()
	h.Inventory = h.Inventory.Bounded()
	return h
}

// Bounded returns i with a normal UUID (see NormalUUID), and with only the valid MAC addresses, in lower case, each
// once, in their order.
func (i Identity) Bounded() Identity {
	i.UUID = NormalUUID(i.UUID)
	i.Serial, i.Vendor, i.Product = clip(i.Serial), clip(i.Vendor), clip(i.Product)
	var macs []string
	seen := map[string]bool{}
	for _, m := range i.MACs {
		mac, ok := NormalMAC(m)
		if !ok || seen[mac] || len(macs) == maxMACs {
			continue
		}
		seen[mac] = true
		macs = append(macs, mac)
	}
	i.MACs = macs
	return i
}

// Bounded returns v with every string and list cut to what the server keeps.
func (v Inventory) Bounded() Inventory {
	v.CPU, v.Firmware, v.FirstDrive = clip(v.CPU), clip(v.Firmware), clip(v.FirstDrive)
	v.Disks = append([]Disk(nil), v.Disks[:min(len(v.Disks), maxDisks)]...)
	left, paths, areas, pools := maxPartitions, maxPaths, maxPaths, maxPools
	reasons, systems := maxSystems, maxSystems
	for i := range v.Disks {
		d := &v.Disks[i]
		d.Partitions = d.Partitions[:min(len(d.Partitions), left)]
		left -= len(d.Partitions)
		*d = d.Bounded()
		for _, s := range []*string{&d.Path, &d.Model, &d.Bus, &d.Damaged, &d.Sampled, &d.Unfinished, &d.Installed} {
			*s = clip(*s)
		}
		for _, s := range []*string{&d.Rotational, &d.Firmware, &d.Variant} {
			*s = clipAt(*s, maxWord)
		}
		d.Health = d.Health.bounded()
		d.Paths, d.BootAreas = clipAll(d.Paths, &paths), clipAll(d.BootAreas, &areas)
		for j := range d.Partitions {
			p := &d.Partitions[j]
			p.Variant, p.Pool = clipAt(p.Variant, maxWord), p.Pool.bounded(&pools)
			p.Unfit, p.System = clipFew(p.Unfit, maxSentence, &reasons), clipFew(p.System, maxText, &systems)
		}
	}
	v.NICs = append([]NIC(nil), v.NICs[:min(len(v.NICs), maxMACs)]...)
	for i := range v.NICs {
		n := &v.NICs[i]
		n.Name, n.MAC, n.Driver, n.Address = clip(n.Name), clip(n.MAC), clip(n.Driver), clip(n.Address)
		n.Neighbour = n.Neighbour.bounded()
	}
	return v
}

// Bounded returns d with each text that a plan compares cut to what the server keeps; its lists and all other texts
// stay whole. The agent makes its plans of such disks, so that they are those of the server: a btrfs has a label of up
// to 255 bytes.
func (d Disk) Bounded() Disk {
	for _, s := range []*string{&d.Serial, &d.WWN, &d.Place, &d.Table, &d.Signature, &d.Label} {
		*s = clip(*s)
	}
	d.TableID = clipAt(d.TableID, maxID)
	d.Partitions = append([]Partition(nil), d.Partitions...)
	for i := range d.Partitions {
		p := &d.Partitions[i]
		p.Name, p.Type, p.Label = clip(p.Name), clipAt(p.Type, maxType), clip(p.Label)
		p.Filesystem, p.UUID = clipAt(p.Filesystem, maxWord), clipAt(p.UUID, maxID)
		p.Installed, p.Unfinished = clipAt(p.Installed, maxID), clipAt(p.Unfinished, maxID)
	}
	return d
}

// NormalMAC returns a 48-bit address in lower case with colons. It returns false if no machine can have this address: s
// is not well-formed, is all zeros, or is a group address.
func NormalMAC(s string) (string, bool) {
	mac, err := net.ParseMAC(strings.TrimSpace(s))
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 || mac.String() == "00:00:00:00:00:00" {
		return "", false
	}
	return mac.String(), true
}

// NormalUUID returns a UUID in lower case. It returns "" if s is not a UUID or identifies no machine: all zeros, all
// ones, or a default of a mainboard vendor, which thousands of machines share.
func NormalUUID(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) != 36 || uuid.Validate(s) != nil { // there are forms of other lengths
		return ""
	}
	switch s {
	case "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"03000200-0400-0500-0006-000700080009", // AMI's default, in both byte orders
		"00020003-0004-0005-0006-000700080009",
		"12345678-1234-5678-90ab-cddeefaabbcc":
		return ""
	}
	return s
}

// bounded is p with bounded lists, nil where no more pools are left.
func (p *Pool) bounded(left *int) *Pool {
	if p == nil || *left == 0 {
		return nil
	}
	*left--
	out := &Pool{Roots: append([]Root(nil), p.Roots[:min(len(p.Roots), maxRoots)]...),
		Images: append([]string(nil), p.Images[:min(len(p.Images), maxRoots)]...)}
	for i := range out.Roots {
		out.Roots[i] = out.Roots[i].bounded()
	}
	for i := range out.Images {
		out.Images[i] = short(out.Images[i])
	}
	return out
}

// clipAll cuts each of list at maxWord bytes, and the list where nothing is left.
func clipAll(list []string, left *int) []string {
	list = append([]string(nil), list[:min(len(list), *left)]...)
	*left -= len(list)
	for i := range list {
		list[i] = clipAt(list[i], maxWord)
	}
	return list
}

// clipFew cuts s at most bytes, and at maxWord after that happened to so many.
func clipFew(s string, most int, left *int) string {
	if len(s) <= maxWord {
		return s
	}
	if *left == 0 {
		return clipAt(s, maxWord)
	}
	*left--
	return clipAt(s, most)
}

// clip cuts s at maxText bytes, between runes.
func clip(s string) string { return clipAt(s, maxText) }

func clipAt(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for len(s) > 0 {
		if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n > 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}
