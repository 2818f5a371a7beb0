package content

// The names of the pool's partition on a disk that Griddle has for itself: during an install and after it. On a disk
// that others share the mark says that, and the name says nothing.
const (
	NameUnfinished = "griddle-unfinished"
	NameFinished   = "griddle-pool"
)

// The names of the other partitions that Griddle makes.
const (
	NameESP  = "griddle-esp"
	NameBIOS = "griddle-bios"
)

// The versions of how a disk says whose pool it has.
const (
	WholeDisk = 1 // by the GUID of the disk and the name of the partition
	Shared    = 2 // by the Mark in the partition
)

// Pool is a partition that says that it has a pool, or will have one.
type Pool struct {
	Partition
	Mark
	Version int // WholeDisk or Shared
}

// Pools are the partitions with a pool, in the order of the table. Of a disk that Griddle divided there is at most one.
func (c Content) Pools() (out []Pool) {
	for _, p := range c.Partitions {
		named := c.Table == "gpt" && (p.Name == NameFinished || p.Name == NameUnfinished)
		switch {
		case p.Mark.Job != "":
			out = append(out, Pool{p, p.Mark, Shared})
		case named && c.GUID != "":
			out = append(out, Pool{p, Mark{c.GUID, p.Name == NameFinished}, WholeDisk})
		}
	}
	return out
}

// Unfinished is the ID of the job that started to install on this disk and did not finish, or "".
func (c Content) Unfinished() string {
	if c.Begun != "" {
		return c.Begun
	}
	for _, p := range c.Pools() {
		if !p.Finished {
			return p.Job
		}
	}
	return ""
}

// Finished is the ID of the job that finished an install on this disk, "" if none did, or if several did: no one knows
// then which of them is meant.
func (c Content) Finished() string {
	p, _ := c.Installed()
	return p.Job
}

// Installed is the pool of a finished install. ok is false if the disk has none, or several.
func (c Content) Installed() (pool Pool, ok bool) {
	if c.Begun != "" {
		return Pool{}, false
	}
	for _, p := range c.Pools() {
		if !p.Finished {
			continue
		}
		if ok {
			return Pool{}, false
		}
		pool, ok = p, true
	}
	return pool, ok
}
