package layout

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"griddle/appliance/job"
)

// Match says which disk of a machine is meant: the one that fits all that is given. Model, Serial, WWN and Path are
// patterns, in which * is any text and ? any character.
type Match struct {
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	WWN    string `json:"wwn,omitempty"`
	Path   string `json:"path,omitempty"` // "/dev/nvme0n1", or "/dev/disk/by-path/" and a job.Disk.Place
	// Size is Largest, Smallest, or a range such as "100G..2T", "100G.." or "..2T", with both ends.
	Size      string `json:"size,omitempty"`
	Transport string `json:"transport,omitempty"` // job.Disk.Bus
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
// that is read-only, and none that people plug in and take away, unless serial, WWN or path is given.
func (m Match) Pick(disks []job.Disk) (job.Disk, error) {
	var found []job.Disk
	passed := 0
	named := m.Serial != "" || m.WWN != "" || m.Path != ""
	for _, d := range disks {
		switch {
		case d.ReadOnly || d.Size <= 0 || !m.fits(d):
		case !named && (d.Removable || d.Bus == "usb" || d.Bus == "firewire"):
			passed++
		default:
			found = append(found, d)
		}
	}
	if m.Size == Largest || m.Size == Smallest {
		found = extreme(found, m.Size == Largest)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && passed > 0:
		return job.Disk{}, fmt.Errorf("%w: no disk fits; removable disks and USB disks must be named by "+
			"serial, wwn or path; this machine has %s", ErrMatch, list(disks))
	case len(found) == 0:
		return job.Disk{}, fmt.Errorf("%w: no disk fits; this machine has %s", ErrMatch, list(disks))
	}
	return job.Disk{}, fmt.Errorf("%w: %d disks fit: %s; add serial, wwn or path", ErrMatch, len(found), list(found))
}

// extreme is the disks that are as large as the largest or the smallest one.
func extreme(disks []job.Disk, largest bool) (out []job.Disk) {
	for _, d := range disks {
		switch {
		case len(out) == 0 || d.Size == out[0].Size:
			out = append(out, d)
		case d.Size > out[0].Size == largest:
			out = []job.Disk{d}
		}
	}
	return out
}

func (m Match) fits(d job.Disk) bool {
	from, to, err := m.sizes()
	return err == nil && d.Size >= from && d.Size <= to &&
		fits(m.Model, d.Model) && fits(m.Serial, d.Serial) && fits(m.WWN, d.WWN) &&
		(fits(m.Path, d.Path) || d.Place != "" && fits(m.Path, "/dev/disk/by-path/"+d.Place)) &&
		(m.Transport == "" || m.Transport == d.Bus)
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
		if from, err = parseBytes(low); err != nil {
			return 0, 0, err
		}
	}
	if high != "" {
		if to, err = parseBytes(high); err != nil {
			return 0, 0, err
		}
	}
	if from > to {
		return 0, 0, errors.New("it ends before it begins")
	}
	return from, to, nil
}

// fits says whether text fits a pattern: * is any text, ? any character, and an empty pattern fits everything.
func fits(pattern, text string) bool {
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

// list is disks as an error names them.
func list(disks []job.Disk) string {
	if len(disks) == 0 {
		return "no disk"
	}
	var out []string
	for i, d := range disks {
		if i == 8 {
			out = append(out, fmt.Sprintf("and %d more", len(disks)-i))
			break
		}
		out = append(out, d.String())
	}
	return strings.Join(out, "; ")
}

// Among returns the partitions that are meant.
func (w Which) Among(parts []job.Partition) (out []job.Partition) {
	for _, p := range parts {
		if (w.Number == 0 || w.Number == p.Number) && fits(w.Name, p.Name) && fits(w.Label, p.Label) &&
			(w.Filesystem == "" || w.Filesystem == p.Filesystem) {
			out = append(out, p)
		}
	}
	return out
}
