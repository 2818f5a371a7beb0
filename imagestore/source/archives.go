package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"griddle/imagestore/source/archive"
	"griddle/imagestore/source/oci"
)

// tarball is a tar archive: a file, or what comes in.
type tarball struct {
	path  string    // "" for what comes in
	input io.Reader // that can be read once, and is nil then
	limit int64
}

func (s *Source) findArchive(name string, o Options) error {
	t := &tarball{path: name, limit: o.Limit}
	if name == "-" {
		if t.path, t.input = "", o.Stdin; t.input == nil {
			t.input = os.Stdin
		}
	} else if fi, err := os.Stat(name); err != nil {
		return err
	} else if fi.IsDir() {
		return fmt.Errorf("%w: %s is a directory; dir:%s takes one", ErrUnsuitable, name, name)
	}
	s.make, s.keep = t, o.spool()
	return nil
}

func (t *tarball) need(context.Context, func(string)) (int64, error) {
	if t.path == "" {
		return 0, nil
	}
	fi, err := os.Stat(t.path)
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil // compressed, it becomes more
}

func (t *tarball) write(ctx context.Context, w io.Writer, c *Copy, free int64) (err error) {
	in := t.input
	if t.path == "" {
		if t.input = nil; in == nil {
			return fmt.Errorf("%w: standard input was read before", ErrUnsuitable)
		}
	} else {
		f, err := os.Open(t.path)
		if err != nil {
			return err
		}
		defer f.Close()
		before, err := f.Stat()
		if err != nil {
			return err
		}
		defer func() {
			if after, serr := f.Stat(); serr == nil &&
				(after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
				err = fmt.Errorf("%w: %s", ErrChanged, t.path)
			}
		}()
		in = f
	}
	bare, err := archive.Decompress(in)
	if err != nil {
		return err
	}
	defer bare.Close()
	return assemble(w, c, t.limit, free, func(tree *archive.Tree) error { return tree.Tar(ctx, bare) })
}

// assemble makes the stream of what is added to a tree.
func assemble(w io.Writer, c *Copy, limit, free int64, add func(*archive.Tree) error) error {
	if limit == 0 || limit > free {
		limit = free
	}
	tree, err := archive.New(w, archive.Options{Name: c.Name, UUID: c.UUID, Ctransid: c.Ctransid,
		Limits: archive.Limits{Bytes: limit}, Owner: hostOwner})
	if err == nil {
		err = add(tree)
	}
	if err == nil {
		err = tree.Finish()
	}
	if errors.Is(err, archive.ErrLimit) && limit == free {
		err = fmt.Errorf("%w; there is not more room for the copy", err)
	}
	return err
}

// hostOwner asks this host's users and groups (passwd(5), group(5)): tar writes the names in ACLs as its host has them.
func hostOwner(name string, group bool) (uint32, bool) {
	file := "/etc/passwd"
	if group {
		file = "/etc/group"
	}
	f, err := os.Open(file)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 4)
		if len(fields) > 3 && fields[0] == name {
			n, err := strconv.ParseUint(fields[2], 10, 32)
			return uint32(n), err == nil
		}
	}
	return 0, false
}

// layout is an image in an OCI image layout.
type layout struct {
	path, tag, arch string
	size            int64
	limit           int64
}

func (s *Source) findLayout(name string, o Options) error {
	l := &layout{path: name, arch: goarch(s.Arch), limit: o.Limit}
	if i := strings.LastIndexByte(name, ':'); i > 0 && !exists(name) {
		l.path, l.tag = name[:i], name[i+1:]
	}
	return l.with(func(i *oci.Image) error {
		l.size = i.Size
		if i.Arch != "" {
			s.Arch = arch(i.Arch)
		}
		s.make, s.keep = l, o.spool()
		return nil
	})
}

// with opens the layout for as long as do works on its image.
func (l *layout) with(do func(*oci.Image) error) error {
	opened, err := oci.Open(l.path)
	if err != nil {
		return err
	}
	defer opened.Close()
	i, err := opened.Image(l.tag, l.arch)
	if err != nil {
		return err
	}
	return do(i)
}

func (l *layout) need(context.Context, func(string)) (int64, error) { return l.size, nil }

func (l *layout) write(ctx context.Context, w io.Writer, c *Copy, free int64) error {
	return l.with(func(i *oci.Image) error {
		return assemble(w, c, l.limit, free, func(tree *archive.Tree) error { return i.Apply(ctx, tree) })
	})
}

// goarch spells a machine's name, as Debian has it, as Go does.
func goarch(debian string) string {
	switch debian {
	case "i386":
		return "386"
	case "armhf", "armel":
		return "arm"
	case "ppc64el":
		return "ppc64le"
	case "mips64el":
		return "mips64le"
	}
	return debian
}
