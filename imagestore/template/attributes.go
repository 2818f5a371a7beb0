package template

import "golang.org/x/sys/unix"

// loosen takes the attributes "immutable" and "append only" (chattr(1)) from name, which is what st says, and from the
// directory. Such logs are a way to harden a machine, and a snapshot has them too; streams do not carry them, so the
// image is the same without. False where there was nothing to take.
func (d *directory) loosen(name string, st *unix.Stat_t) bool {
	loose := takeAttributes(d.fd)
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return loose // to open a device would wake it
	}
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return loose
	}
	defer unix.Close(fd)
	return takeAttributes(fd) || loose
}

func takeAttributes(fd int) bool {
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil || flags&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) == 0 {
		// the same bits as FS_IMMUTABLE_FL, FS_APPEND_FL
		return false
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS,
		flags&^(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND)) == nil
}
