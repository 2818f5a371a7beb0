package pool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"griddle/initramfs/subvolume"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// ErrNone means that there is no pool of Griddle.
var ErrNone = errors.New("it was not installed by Griddle")

// lookTime is how long a disk may take to show its table.
const lookTime = 5 * time.Second

// All are the pools on the disks of this machine. Disks that cannot be read, or that take too long, have none.
func All() []Place {
	entries, err := os.ReadDir("/sys/block")
	if err != nil {
		return nil
	}
	found := make([]chan Place, 0, len(entries))
	for _, e := range entries {
		// Drives for removable media wake up for each look, and memory has no pool.
		if name := e.Name(); !slices.ContainsFunc([]string{"sr", "fd", "ram", "zram"}, func(kind string) bool {
			return strings.TrimRight(name, "0123456789") == kind
		}) {
			one := make(chan Place, 1)
			found = append(found, one)
			go func() {
				defer close(one)
				if p, err := On("/dev/" + strings.ReplaceAll(name, "!", "/")); err == nil {
					one <- p
				}
			}()
		}
	}
	var out []Place
	late := time.After(lookTime)
	for _, one := range found {
		select {
		case p, ok := <-one:
			if ok {
				out = append(out, p)
			}
		case <-late:
			return out
		}
	}
	return out
}

// Here is the pool that this system runs from. A system that Griddle did not install is ErrNone.
func Here() (Place, error) {
	m, err := mounts("")
	if err != nil {
		return Place{}, err
	}
	for _, m := range slices.Backward(m) {
		if m.at != "/" {
			continue
		}
		if !strings.HasPrefix(m.source, "/dev/") {
			break
		}
		part, err := below(sys, m.source)
		if err != nil {
			return elsewhere(fmt.Errorf("looking for the pool of this system: %w: %w", ErrNone, err))
		}
		number, err := os.ReadFile(filepath.Join(part, "partition"))
		if err != nil {
			break
		}
		disk := filepath.Join("/dev", filepath.Base(filepath.Dir(part)))
		if m.kind != "btrfs" {
			return hereOwn(disk, filepath.Join("/dev", filepath.Base(part)))
		}
		p, err := on(disk, strings.TrimSpace(string(number)))
		if err == nil {
			return p, nil
		}
		return elsewhere(err)
	}
	return Place{}, fmt.Errorf("looking for the pool of this system: %w: / is not a root on a disk", ErrNone)
}

// elsewhere is the pool of this system, if it is a mirror whose disk that the table of mounts names is gone; else the
// error is why.
func elsewhere(why error) (Place, error) {
	id, err := subvolume.Filesystem("/")
	if err != nil {
		return Place{}, why
	}
	for _, n := range nodes(sys) {
		if s, err := superOf(n.path); err != nil || s.Filesystem != uuid.UUID(id).String() {
			continue
		}
		if p, err := on(n.disk, strconv.Itoa(n.number)); err == nil {
			return p, nil
		}
	}
	return Place{}, why
}

// Open mounts a pool and its EFI system partition. Without the latter the pool can be read. Of a mirror it mounts all
// that there are: a disk that is missing is not an error. An encrypted pool that is closed is ErrClosed: see Unlock.
func Open(place Place) (*Pool, error) {
	if err := place.closed(); err != nil {
		return nil, err
	}
	if len(place.Own) > 0 {
		return openOwn(place, subvolume.Other, subvolume.FAT)
	}
	top, err := subvolume.Top(place.Pool, place.options()...)
	if err != nil {
		return nil, err
	}
	p := &Pool{place: place, dir: top.Dir(), close: []func() error{top.Close}}
	p.openESPs(subvolume.FAT)
	p.openBoot()
	return p, nil
}

// mounted is one line of the table of mounts.
type mounted struct{ at, kind, source string }

// mounts reads the table of mounts (proc_pid_mountinfo(5)).
func mounts(file string) ([]mounted, error) {
	if file == "" {
		file = "/proc/self/mountinfo"
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the table of mounts: %w", err)
	}
	var out []mounted
	for line := range strings.Lines(string(b)) {
		left, right, _ := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) < 5 || len(r) < 2 {
			continue
		}
		out = append(out, mounted{at: unescape(l[4]), kind: r[0], source: unescape(r[1])})
	}
	return out, nil
}

// unescape undoes the kernel's writing of blanks and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// inUse are the subvolumes that are mounted, by the numbers of their devices: each subvolume has one, on every mount.
type inUse struct {
	root uint64 // that of /
	any  map[uint64]bool
}

func (p *Pool) used() (inUse, error) {
	all, err := mounts(p.mounts)
	if err != nil {
		return inUse{}, err
	}
	u := inUse{any: map[uint64]bool{}}
	for _, m := range all {
		var st unix.Stat_t
		if !slices.Contains([]string{"btrfs", "ext4", "xfs"}, m.kind) || unix.Stat(m.at, &st) != nil {
			continue
		}
		u.any[st.Dev] = true
		if m.at == "/" {
			u.root = st.Dev
		}
	}
	return u, nil
}

// cutRoots is the name of a root without its folder.
func cutRoots(root string) (string, bool) {
	name, ok := strings.CutPrefix(root, roots+"/")
	return name, ok && name != "" && !strings.Contains(name, "/")
}

// made says when something was made.
func made(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return " of " + at.Format("2006-01-02 15:04")
}
