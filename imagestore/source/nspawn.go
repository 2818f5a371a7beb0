package source

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// shiftUnit is how many ids systemd-nspawn gives each machine, and what the first of them is a multiple of
// (systemd-nspawn(1), --private-users=pick and -U).
const shiftUnit = 1 << 16

// findMachine fills in s for a machine of systemd-nspawn: a subvolume or a directory.
func (s *Source) findMachine(name string, o Options) error {
	if strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%w: %q is not the name of a machine", ErrName, name)
	}
	machines := o.Machines
	if machines == "" {
		machines = "/var/lib/machines"
	}
	s.Dir = filepath.Join(machines, name)
	if !exists(s.Dir) && exists(s.Dir+".raw") {
		return fmt.Errorf("%w: the machine is the disk image %s.raw; only a directory or a subvolume can be published",
			ErrUnsuitable, s.Dir)
	}
	if err := s.settle(&directory{}, o); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(s.Dir, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", s.Dir, err)
	}
	// The first id of a machine owns its root.
	if st.Uid != 0 && st.Uid%shiftUnit == 0 && st.Gid == st.Uid {
		r := []idRange{{inside: 0, host: st.Uid, count: shiftUnit}}
		s.ids = &idMap{users: r, groups: r}
	}
	return nil
}
