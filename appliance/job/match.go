package job

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Match says which disk of a machine is meant: the one that fits all that is given. Model, Serial, WWN and Path are
// patterns, in which * is any text and ? any character. A layout has one, and so has a DiskRule that begins with
// "match:".
type Match struct {
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	WWN    string `json:"wwn,omitempty"`
	Path   string `json:"path,omitempty"` // "/dev/nvme0n1", or "/dev/disk/by-path/" and a Disk.Place
	// Size is Largest, Smallest, or a range such as "100G..2T", "100G.." or "..2T", with both ends.
	Size      string `json:"size,omitempty"`
	Transport string `json:"transport,omitempty"` // Disk.Bus
	// Rotational is Rotates or Solid. A disk of which the kernel does not know it fits neither.
	Rotational string `json:"rotational,omitempty"`
}

// The sizes that compare the disks of a machine with one another.
const (
	Largest  = "largest"
	Smallest = "smallest"
)

// Transports are the values of Match.Transport.
var Transports = []string{"nvme", "sata", "scsi", "virtio", "mmc", "usb", "firewire"}

// ErrMatch is wrapped by every error of Pick.
var ErrMatch = errors.New("choosing the disk")

// Pick returns the one disk of a machine that fits. If none or several do, the error lists the disks. It picks no disk
// that is read-only, and none that people plug in and take away or that has several paths, unless serial, WWN or path
// is given.
func (m Match) Pick(disks []Disk) (Disk, error) {
	found, passed := m.choose(disks)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && passed > 0:
		return Disk{}, fmt.Errorf("%w: no disk fits; %s; this machine has %s", ErrMatch, nameThem, list(disks))
	case len(found) == 0:
		return Disk{}, fmt.Errorf("%w: no disk fits; this machine has %s", ErrMatch, list(disks))
	}
	return Disk{}, fmt.Errorf("%w: %d disks fit: %s; add serial, wwn or path", ErrMatch, len(found), list(found))
}

// Among returns the disks of a machine that fit, without those that Pick would pass over.
func (m Match) Among(disks []Disk) []Disk {
	found, _ := m.choose(disks)
	return found
}

// nameThem is why a disk was passed over.
const nameThem = "removable disks, USB disks and disks with several paths must be named by serial, wwn or path"

// choose returns the disks that fit, and how many were passed over because they must be named.
func (m Match) choose(disks []Disk) (found []Disk, passed int) {
	named := m.Serial != "" || m.WWN != "" || m.Path != ""
	for _, d := range disks {
		switch {
		case d.ReadOnly || d.Size <= 0 || !m.fits(d):
		case !named && d.mustBeNamed():
			passed++
		default:
			found = append(found, d)
		}
	}
	if m.Size == Largest || m.Size == Smallest {
		found = extreme(found, m.Size == Largest)
	}
	return found, passed
}

// extreme is the disks that are as large as the largest or the smallest one.
func extreme(disks []Disk, largest bool) (out []Disk) {
	for _, d := range disks {
		switch {
		case len(out) == 0 || d.Size == out[0].Size:
			out = append(out, d)
		case d.Size > out[0].Size == largest:
			out = []Disk{d}
		}
	}
	return out
}

func (m Match) fits(d Disk) bool {
	from, to, err := m.sizes()
	return err == nil && d.Size >= from && d.Size <= to &&
		Fits(m.Model, d.Model) && Fits(m.Serial, d.Serial) && Fits(m.WWN, d.WWN) &&
		(slices.ContainsFunc(d.allPaths(), func(p string) bool { return Fits(m.Path, p) }) ||
			d.Place != "" && Fits(m.Path, byPath+d.Place)) &&
		(m.Transport == "" || m.Transport == d.Bus) &&
		(m.Rotational == "" || m.Rotational == d.Rotational)
}

// sizes are the bounds of Size, which both belong to it.
func (m Match) sizes() (from, to int64, err error) {
	to = math.MaxInt64
	if m.Size == "" || m.Size == Largest || m.Size == Smallest {
		return 0, to, nil
	}
	low, high, is := strings.Cut(m.Size, "..")
	if !is || low+high == "" {
		return 0, 0, errors.New("it is not a range")
	}
	if low != "" {
		if from, err = ParseBytes(low); err != nil {
			return 0, 0, err
		}
	}
	if high != "" {
		if to, err = ParseBytes(high); err != nil {
			return 0, 0, err
		}
	}
	if from > to {
		return 0, 0, errors.New("it ends before it begins")
	}
	return from, to, nil
}

// Fits says whether text fits a pattern: * is any text, ? any character, and an empty pattern fits everything.
func Fits(pattern, text string) bool {
	if pattern == "" {
		return true
	}
	p, t := []rune(pattern), []rune(text)
	star, back := -1, 0 // where the last * is, and where the text after it is tried
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i, j = i+1, j+1
		case star >= 0:
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
