package receive

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// sources finds the trees that clones may come from: the one that is being made, and the parents.
type sources struct {
	uuid    sendstream.UUID
	here    *tree
	parents []Parent
	open    map[string]*tree // by Parent.Dir
}

// find gives the tree that a clone's source is in.
func (s *sources) find(c *step) (*tree, error) {
	if c.CloneUUID == s.uuid {
		return s.here, nil
	}
	p, err := findParent(s.parents, c)
	if err != nil {
		return nil, err
	}
	if t := s.open[p.Dir]; t != nil {
		return t, nil
	}
	fd, err := openParent(p)
	if err != nil {
		return nil, err
	}
	t, err := newTree(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	s.open[p.Dir] = t
	return t, nil
}

func (s *sources) close() {
	for _, t := range s.open {
		t.close()
	}
}

// findParent gives the parent that a command names by CloneUUID and CloneCtransid.
func findParent(parents []Parent, c *step) (Parent, error) {
	for _, p := range parents {
		if p.UUID == c.CloneUUID && (p.Ctransid == 0 || c.CloneCtransid == 0 || p.Ctransid == c.CloneCtransid) {
			return p, nil
		}
	}
	return Parent{}, fmt.Errorf("%w: %v at transaction %d", ErrNoParent, c.CloneUUID, c.CloneCtransid)
}

// openParent opens a parent's root; its path is the caller's and may lead through links.
func openParent(p Parent) (int, error) {
	fd, err := unix.Open(p.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: p.Dir, Err: err}
	}
	return fd, nil
}
