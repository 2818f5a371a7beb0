package newroot

import "fmt"

// PoolMount is where a system that is a partition of its own has the pool.
const PoolMount = "/.griddle"

// OwnFile has the name of a root that is a partition, in one line: what it is mounted from does not say it.
const OwnFile = "/usr/lib/griddle/root"

// Own is the filesystem of a root that is a partition.
type Own struct {
	UUID       string
	Filesystem string // "ext4" or "xfs"
}

// named writes OwnFile.
func (m *making) named() error {
	if m.Own == nil {
		return nil
	}
	return m.Write(OwnFile[1:], []byte(m.Name+"\n"), 0o644)
}

// ownLines are the lines of fstab for such a root, its pool, and what it binds from there.
func (m *making) ownLines() []string {
	if m.Own == nil {
		return nil
	}
	options, check := "noatime", 0 // an xfs has no check at start
	if m.Own.Filesystem == "ext4" {
		options, check = "noatime,errors=remount-ro", 1
	}
	lines := []string{
		fmt.Sprintf("UUID=%s / %s %s 0 %d", m.Own.UUID, m.Own.Filesystem, options, check),
		fmt.Sprintf("UUID=%s %s ext4 noatime,errors=remount-ro 0 2", m.PoolID, PoolMount)}
	for _, folder := range m.ownFolders() {
		lines = append(lines, fmt.Sprintf("%s/@%s /%s none bind 0 0", PoolMount, folder, folder))
	}
	return lines
}

// ownFolders are the folders that such a root binds from its pool.
func (m *making) ownFolders() []string {
	if m.isBeside("/home") {
		return []string{"persistent"}
	}
	return []string{"home", "persistent"}
}
