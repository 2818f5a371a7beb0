package ntfs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// report is what ntfsresize printed. A number is 0 if it printed none.
type report struct {
	cluster     int64 // bytes
	volume      int64 // bytes: its clusters, and the copy of the boot sector
	device      int64 // bytes
	new         int64 // bytes, as volume
	used        int64 // bytes, in whole megabytes
	minimum     int64 // bytes
	relocations int64 // clusters
	nothing     bool  // the volume has the size already
	dryRun      bool  // a dry run ended well
	damaged     bool  // it wants Windows to check the volume
	failure     string
}

// What ntfsresize prints, for those that read it as a program (its source says: don't modify the texts).
const (
	textNothing  = "Nothing to do: NTFS volume size is already OK."
	textDryRun   = "The read-only test run ended successfully."
	textDone     = "Successfully resized NTFS on device "
	textDirty    = "Volume is scheduled for check."
	textDamaged  = "NTFS is inconsistent. "
	textTooSmall = "New size can't be less than the space already occupied by data."
	textFull     = "Volume is full. "
	textMounted  = "' is mounted"
	textBad      = "This software has detected that the disk has at least "
	textError    = "ERROR"
)

// parse reads the output of ntfsresize. The lines with numbers must be as its version 2022.10.3 prints them, and each
// at most once. Other lines are skipped.
func parse(out []byte) (report, error) {
	var r report
	numbers := []struct {
		before, after string
		to            *int64
		unit          int64
	}{
		{"Cluster size       : ", " bytes", &r.cluster, 1},
		{"Current volume size: ", " bytes (", &r.volume, 1},
		{"Current device size: ", " bytes (", &r.device, 1},
		{"New volume size    : ", " bytes (", &r.new, 1},
		{"Space in use       : ", " MB (", &r.used, 1e6},
		{"You might resize at ", " bytes ", &r.minimum, 1},
		{"Needed relocations : ", " (", &r.relocations, 1},
	}
	seen := map[string]bool{}
	lines := strings.Split(string(out), "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		switch line {
		case textNothing:
			r.nothing = true
		case textDryRun:
			r.dryRun = true
		}
		r.damaged = r.damaged || strings.Contains(line, textDamaged)
		if strings.HasPrefix(line, textError) && r.failure == "" {
			r.failure = plain(strings.Join(lines[i:min(i+4, len(lines))], " "))
		} else if strings.HasPrefix(line, textDamaged) && r.failure == "" {
			r.failure = plain(line)
		}
		for _, n := range numbers {
			rest, found := strings.CutPrefix(line, n.before)
			if !found {
				continue
			}
			digits, _, found := strings.Cut(rest, n.after)
			value, err := strconv.ParseUint(digits, 10, 62)
			if !found || err != nil || int64(value) > math.MaxInt64/4/n.unit {
				return r, fmt.Errorf("%q has no number where one is expected", plain(line))
			}
			if seen[n.before] {
				return r, fmt.Errorf("it says %q twice", strings.TrimRight(n.before, " :"))
			}
			seen[n.before] = true
			*n.to = int64(value) * n.unit
		}
	}
	return r, nil
}

// sizes checks that the numbers of a report that must be there are, and agree with the geometry of a volume.
func (r report) sizes(cluster int, clusters int64, sector int) error {
	switch {
	case r.cluster == 0 || r.volume == 0 || r.device == 0 || r.used == 0 && clusters > 0:
		return errors.New("reading the output of ntfsresize: the sizes are missing")
	case r.cluster != int64(cluster):
		return fmt.Errorf("reading the output of ntfsresize: its clusters have %d bytes, those of the boot sector %d",
			r.cluster, cluster)
	case r.volume != clusters*int64(cluster)+int64(sector):
		return fmt.Errorf("reading the output of ntfsresize: its volume has %d bytes, that of the boot sector %d "+
			"clusters"+
			" of %d", r.volume, clusters, cluster)
	}
	return nil
}

// plain makes one short line of text from a program: printable ASCII, at most 300 bytes.
func plain(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return ' '
		}
		return c
	}, s)), " ")
	return strings.TrimSpace(s[:min(len(s), 300)])
}
