package update

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"griddle/imagestore/durable"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/carry"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
)

// refreshFile is in our folder of @persistent. It has a refresh.
const refreshFile = "refresh.json"

// refresh is what Refresh needs of the update that made a root.
type refresh struct {
	Root     string   `json:"root"`               // the new one
	Old      string   `json:"old"`                // that runs
	Keep     []string `json:"keep,omitempty"`     // of the settings
	Hostname string   `json:"hostname,omitempty"` // that someone gave
}

// remember leaves what Refresh needs, if the old root is mounted: only then it changes meanwhile.
func (w *work) remember(name string) error {
	if !w.old.InUse {
		return nil
	}
	dir, err := pool.Persistent(w.Pool.Dir())
	if err != nil {
		return err
	}
	defer dir.Close()
	b, err := json.Marshal(refresh{Root: name, Old: w.old.Name, Keep: w.keep(), Hostname: w.given()})
	if err != nil {
		return err
	}
	return durable.Disk{}.Replace(filepath.Join(dir.Name(), refreshFile), append(b, '\n'), 0o600)
}

// Refresh hands over to a new root that waits for its first start what changed in the root that runs since the new
// one was made. Call it when the system shuts down. It carries what an update carries (package carry), and of that
// only what changed; subvolumes in the root that runs do not count, and a root that is fresh at each start hands over
// nothing. The answer is what it carried, in words, and nil where no new root waits.
//
// The new root is a changed snapshot that takes the place of the earlier one by one exchange: after an error or a
// power cut at any time the machine starts one of the two. Where roots are partitions see refreshOwn.
func Refresh(ctx context.Context, p *pool.Pool) ([]string, error) {
	lock, err := lock(p)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	c, err := p.Read()
	if err != nil {
		return nil, err
	}
	what, before, err := waiting(p, c)
	if err != nil || what == nil {
		return nil, err
	}
	if what.own(c) {
		return refreshOwn(ctx, p, *what)
	}
	carried, err := refreshRoot(ctx, p, c, *what, before)
	if err != nil {
		err = fmt.Errorf("handing over to %s what changed: %w; it starts as it was made", pool.Label(what.Root), err)
	}
	return carried, errors.Join(err, removeLeftovers(p.Dir(), oldName))
}

// waiting is the new root that waits, nil for none, and the path of the old one as it was when that was made.
func waiting(p *pool.Pool, c pool.Contents) (*refresh, string, error) {
	dir, err := pool.Persistent(p.Dir())
	if err != nil {
		return nil, "", err
	}
	defer dir.Close()
	var r refresh
	b, err := sysroot.Dir{Root: dir}.Read(refreshFile)
	if err != nil || json.Unmarshal(b, &r) != nil || !r.waits(c) {
		return nil, "", err
	}
	if r.own(c) {
		return &r, "", nil // which has it itself
	}
	before := filepath.Join(p.Dir(), Folder, oldName)
	then, err := subvolume.Read(before)
	if err != nil {
		return nil, "", nil // an update that was stopped deleted it
	}
	old, err := subvolume.Read(filepath.Join(p.Dir(), newroot.Folder, r.Old))
	if err != nil || then.Parent != old.ID {
		return nil, "", err
	}
	return &r, before, nil
}

// waits reports whether the new root waits for its first start, and the old one runs. Of bases other roots start.
func (r refresh) waits(c pool.Contents) bool {
	next, err := c.Root(r.Root)
	old, err2 := c.Root(r.Old)
	if err != nil || err2 != nil || next.Name != c.Candidate || c.Tries == 0 || next.Reset != "" || old.Reset != "" {
		return false
	}
	return old.InUse && !slices.ContainsFunc(c.Roots, func(o pool.Root) bool { return o.Runs && o.Name != old.Name })
}

// refreshRoot makes the snapshot, changes it and has it take the root's place.
func refreshRoot(ctx context.Context, p *pool.Pool, c pool.Contents, what refresh, before string) ([]string, error) {
	at := filepath.Join(p.Dir(), Folder)
	if err := removeLeftovers(p.Dir(), oldName); err != nil {
		return nil, err
	}
	root, err := c.Root(what.Root)
	if err != nil {
		return nil, err
	}
	if err := subvolume.Snapshot(filepath.Join(p.Dir(), newroot.Folder, root.Name), at, root.Name); err != nil {
		return nil, err
	}
	carried, err := carryChanges(ctx, p, c, what, before, filepath.Join(at, root.Name))
	if err != nil {
		return nil, err
	}
	return carried, p.Replace(root.Name, at, root.Name)
}

// carryChanges carries from the root that runs what differs from it as it was before.
func carryChanges(ctx context.Context, p *pool.Pool, c pool.Contents, what refresh, before, to string) ([]string,
	error) {
	old, err := c.Root(what.Old)
	if err != nil {
		return nil, err
	}
	var t carry.Trees
	for tree, dir := range map[**os.Root]string{&t.Old: filepath.Join(p.Dir(), newroot.Folder, old.Name),
		&t.Image: before, &t.New: to} {
		open, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer open.Close()
		*tree = open
	}
	t.Without = old.Inner
	r, err := carry.Carry(ctx, t, what.Keep)
	if err == nil && what.Hostname != "" {
		err = newroot.Rename(sysroot.Dir{Root: t.New}, what.Hostname)
	}
	return r.Carried, err
}
