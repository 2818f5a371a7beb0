package template

import (
	"golang.org/x/sys/unix"
)

// stat tells about a name in the directory, itself and not what it points to; false where it is not there.
func (d *directory) stat(name string, st *unix.Stat_t) bool {
	if d.err != nil {
		return false
	}
	err := unix.Fstatat(d.fd, name, st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return false
	}
	d.fail(d.path+"/"+name, err)
	return err == nil
}

func (d *directory) isSymlink(name string) bool {
	var st unix.Stat_t
	return d.stat(name, &st) && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// remove removes what which admits, directories with all that is in them.
func (d *directory) remove(which func(name string) bool) {
	for _, e := range d.entries() {
		if which(e.Name()) {
			d.removeName(e.Name())
		}
	}
}

// removeName removes one name, whatever it is.
func (d *directory) removeName(name string) {
	var st unix.Stat_t
	if !d.stat(name, &st) {
		return
	}
	flags := 0
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		d.enter(name, func(sub *directory) {
			sub.remove(anything)
			sub.dirty = false // its times go with it
		})
		flags = unix.AT_REMOVEDIR
	}
	if d.err != nil {
		return
	}
	err := unix.Unlinkat(d.fd, name, flags)
	if err == unix.EPERM && d.loosen(name, &st) {
		err = unix.Unlinkat(d.fd, name, flags)
	}
	if err != nil {
		d.fail(d.path+"/"+name, err)
		return
	}
	d.dirty = true
	d.count(&st)
}

func (d *directory) count(st *unix.Stat_t) {
	d.step.Removed++
	if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 1 {
		d.step.Bytes += min(st.Size, st.Blocks*512) // without holes
	}
}

// empty makes the regular file at name empty, which keeps owner, mode, attributes and times.
// Everything else stays as it is.
func (d *directory) empty(name string) {
	var st unix.Stat_t
	if !d.stat(name, &st) || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size == 0 {
		return
	}
	if st.Nlink > 1 {
		d.removeName(name)
		return
	}
	const how = unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(d.fd, name, how, 0)
	if err == unix.EPERM && d.loosen(name, &st) {
		fd, err = unix.Openat(d.fd, name, how, 0)
	}
	if err == nil {
		defer unix.Close(fd)
		err = unix.Ftruncate(fd, 0)
	}
	if err == nil {
		err = keepTimes(fd, &st)
	}
	if err != nil {
		d.fail(d.path+"/"+name, err)
		return
	}
	d.count(&st)
}

// replace makes name a regular file with this text, if there is something of that name. It keeps the times of what was
// there.
func (d *directory) replace(name, text string) {
	var st unix.Stat_t
	if !d.stat(name, &st) || d.holds(name, text) {
		return
	}
	d.removeName(name)
	if d.err != nil {
		return
	}
	fd, err := unix.Openat(d.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err == nil {
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte(text))
	}
	if err == nil {
		err = keepTimes(fd, &st)
	}
	if err != nil {
		d.fail(d.path+"/"+name, err)
	}
}

// holds says whether name is a regular file with exactly this text.
func (d *directory) holds(name, text string) bool {
	var st unix.Stat_t
	if !d.stat(name, &st) || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != int64(len(text)) {
		return false
	}
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	b := make([]byte, len(text))
	n, err := unix.Pread(fd, b, 0)
	return err == nil && string(b[:n]) == text
}

// each calls f for all that is no directory, in d and in all directories below it.
func (d *directory) each(f func(d *directory, name string)) {
	for _, e := range d.entries() {
		if e.IsDir() {
			d.enter(e.Name(), func(sub *directory) { sub.each(f) })
		} else if d.err == nil {
			f(d, e.Name())
		}
	}
}

// files removes all that is no directory, in d and in all directories below it.
func (d *directory) files() { d.each((*directory).removeName) }

// subdirectories calls f for each directory in d.
func (d *directory) subdirectories(f func(*directory)) {
	for _, e := range d.entries() {
		if e.IsDir() {
			d.enter(e.Name(), f)
		}
	}
}
