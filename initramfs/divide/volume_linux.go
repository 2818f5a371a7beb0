package divide

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/volume"

	"github.com/google/uuid"
)

// volumes are those of a plan that a Run has started.
type volumes struct {
	started []string            // by ID, in the order in which they were started
	devices map[string][]string // of what each is made
}

// planVolume is the volume with an ID. Plan.Verify finds a step without one.
func (r *run) planVolume(id string) plan.Volume {
	at := slices.IndexFunc(r.plan.Volumes, func(v plan.Volume) bool { return v.ID == id })
	return r.plan.Volumes[at]
}

// making is the step that makes a volume.
func (r *run) making(id string) int {
	return slices.IndexFunc(r.plan.Steps, func(s plan.Step) bool { return s.Do == plan.MakeVolume && s.Volume == id })
}

// identity is the UUID by which the journal knows a volume.
func (r *run) identity(id string) string {
	uuids := r.past[r.making(id)].uuids
	return uuids[len(uuids)-1]
}

func (r *run) array(v plan.Volume, id string, devices []string) volume.Array {
	return volume.Array{Name: v.ID, ID: id, Devices: devices, Size: v.Size}
}

func (r *run) group(v plan.Volume, id string, devices []string) volume.Group {
	return volume.Group{Name: v.ID, ID: id, Devices: devices}
}

// members are the device files of what a volume is made of. Partitions are proved to be the planned ones, on disks
// whose tables are those of tomorrow. Volumes are started if start is true.
func (r *run) members(ctx context.Context, v plan.Volume, start bool) (out []string, err error) {
	for _, on := range v.On {
		if on.Volume != "" {
			if start {
				err = r.start(ctx, on.Volume)
			}
			if err != nil {
				return nil, err
			}
			out = append(out, r.volumeNode(r.planVolume(on.Volume)))
			continue
		}
		h, err := r.find(ctx, on.Disk)
		if err != nil {
			return nil, err
		}
		if err := sameEntries(entriesAfter(h.planned), entriesOf(h.disk)); err != nil {
			return nil, changed(h.disk, err)
		}
		at := slices.IndexFunc(h.planned.After, func(p plan.Part) bool { return p.Number == on.Number })
		p := h.planned.After[at] // Plan.Verify finds a member that is not there
		node, err := r.node(h, p.Number, p.Start, p.Size)
		if err != nil {
			return nil, err
		}
		out = append(out, node)
	}
	return out, nil
}

// volumeNode is the device file of a volume while it is started; that of a group is of no use.
func (r *run) volumeNode(v plan.Volume) string {
	if v.Kind == plan.Logical {
		return r.group(plan.Volume{ID: v.Group}, "", nil).Node(v.ID)
	}
	return r.array(v, "", nil).Node()
}

// start starts a volume that is made, and what it is made of.
func (r *run) start(ctx context.Context, id string) error {
	if slices.Contains(r.volumes.started, id) {
		return nil
	}
	v := r.planVolume(id)
	devices, err := r.members(ctx, v, true)
	if err != nil {
		return err
	}
	switch v.Kind {
	case plan.Raid1:
		err = r.array(v, r.identity(id), devices).Start(ctx)
	case plan.Group:
		err = r.group(v, r.identity(id), devices).Start(ctx)
	}
	if err == nil {
		r.hasStarted(id, devices)
	}
	return err
}

func (r *run) hasStarted(id string, devices []string) {
	if r.volumes.devices == nil {
		r.volumes.devices = map[string][]string{}
	}
	r.volumes.started, r.volumes.devices[id] = append(r.volumes.started, id), devices
}

// letGo stops the volumes that were started, the last ones first.
func (r *run) letGo(ctx context.Context) error {
	for _, id := range slices.Backward(r.volumes.started) {
		if err := r.stop(ctx, r.planVolume(id), r.volumes.devices[id]); err != nil {
			return err
		}
	}
	r.volumes = volumes{}
	return nil
}

func (r *run) stop(ctx context.Context, v plan.Volume, devices []string) error {
	switch v.Kind {
	case plan.Raid1:
		return r.array(v, "", devices).Release(ctx)
	case plan.Group:
		return r.group(v, "", devices).Release(ctx)
	}
	return nil
}

// letGoBefore stops the volumes that an earlier Run left, which was killed while the machine ran on.
func (r *run) letGoBefore(ctx context.Context) error {
	for _, v := range slices.Backward(r.plan.Volumes) {
		if !r.past[r.making(v.ID)].begun {
			continue
		}
		devices, err := r.members(ctx, v, false)
		if err == nil {
			err = r.stop(ctx, v, devices)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// volumeVerb is a verb for a volume.
type volumeVerb func(ctx context.Context, r *run, i int) error

func volumeVerbs() map[plan.Verb]volumeVerb {
	return map[plan.Verb]volumeVerb{plan.MakeVolume: makeVolume, plan.Clear: clearVolume,
		plan.MakeFilesystem: makeInVolume}
}

// makeVolume makes a volume on members that are cleared. Its UUID is in the journal before, so that what an
// interruption leaves is known as its own, and made again. The journal then has what is in the volume by chance.
func makeVolume(ctx context.Context, r *run, i int) error {
	v := r.planVolume(r.plan.Steps[i].Volume)
	devices, err := r.members(ctx, v, true)
	if err != nil {
		return err
	}
	if v.Kind != plan.Logical {
		for n, node := range devices {
			if err := r.free(ctx, i, n, node); err != nil {
				return err
			}
		}
	}
	id := uuid.NewString()
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun, UUID: id}); err != nil {
		return err
	}
	switch v.Kind {
	case plan.Raid1:
		err = r.array(v, id, devices).Make(ctx)
	case plan.Group:
		err = r.group(v, id, devices).Make(ctx)
	case plan.Logical:
		g := r.planVolume(v.Group)
		err = r.group(g, r.identity(g.ID), r.volumes.devices[g.ID]).Add(ctx, v.ID, v.Size)
	}
	if err != nil {
		return err
	}
	r.hasStarted(v.ID, devices)
	if v.Kind == plan.Group {
		return nil
	}
	f, err := r.openVolume(ctx, v)
	if err != nil {
		return err
	}
	found, err := sum(f, 0, v.Size)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return r.record(ctx, Entry{Step: i + 1, State: Begun, UUID: id, Sum: found})
}

// free proves that member number n of the volume of step i has nothing of value, and wipes it: it is cleared by an
// earlier step, or a volume to which no one has written since it was made, or it has what an interruption left.
func (r *run) free(ctx context.Context, i, n int, node string) (err error) {
	v := r.planVolume(r.plan.Steps[i].Volume)
	size := r.memberSize(v.On[n])
	f, err := r.open(ctx, node, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	uncache(f)
	switch {
	case r.past[i].begun:
		has, _, err := content.Known(f, size)
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
		own := slices.ContainsFunc(r.past[i].uuids, func(id string) bool {
			if v.Kind == plan.Group {
				id = r.group(v, id, nil).DeviceID(n)
			}
			return volume.IDOf(f) == id
		})
		if has != "" && !own && v.On[n].Volume == "" {
			return fmt.Errorf("%w: %s has %s, which this job did not make; nothing more was written to it", ErrChanged,
				node, kind(has))
		}
	case v.On[n].Volume != "":
		err = r.unwritten(f, v.On[n].Volume, size)
	default:
		var cleared bool
		if cleared, err = zero(f, 0, min(size, ends)); err == nil && !cleared {
			err = fmt.Errorf("%w: another system has written to %s since it was cleared; nothing more was written "+
				"to it",
				ErrChanged, node)
		}
	}
	if err != nil {
		return err
	}
	return wipe(f, 0, 0, size)
}

func (r *run) memberSize(on plan.Device) int64 {
	if on.Volume != "" {
		return r.planVolume(on.Volume).Size
	}
	after := r.planned(on.Disk).After
	return after[slices.IndexFunc(after, func(p plan.Part) bool { return p.Number == on.Number })].Size
}

// unwritten fails if something was put into a volume since it was made.
func (r *run) unwritten(f device, id string, size int64) error {
	now, err := sum(f, 0, size)
	if err == nil && now != r.past[r.making(id)].sum {
		err = fmt.Errorf("%w: another system has written to the volume %s since it was made; nothing more was "+
			"written to it", ErrChanged, id)
	}
	return err
}

// openVolume opens a volume, which is started, alone. It must be as large as it was planned.
func (r *run) openVolume(ctx context.Context, v plan.Volume) (device, error) {
	f, err := r.open(ctx, r.volumeNode(v), time.Minute)
	if err != nil {
		return nil, err
	}
	size, err := bytesOf(r.volumeNode(v))
	if err == nil && size != v.Size {
		err = fmt.Errorf("the volume %s has %d bytes, and should have %d; this is a defect of Griddle, please "+
			"report it",
			v.ID, size, v.Size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	uncache(f)
	return f, nil
}

// bytesOf is how many bytes a block device has.
func bytesOf(node string) (int64, error) {
	f, err := os.Open(node)
	if err != nil {
		return 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	return size, errors.Join(err, f.Close())
}

// clearVolume removes all signatures of what was in the place of a volume, by chance.
func clearVolume(ctx context.Context, r *run, i int) (err error) {
	v := r.planVolume(r.plan.Steps[i].Volume)
	if err := r.start(ctx, v.ID); err != nil {
		return err
	}
	f, err := r.openVolume(ctx, v)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !r.past[i].begun {
		if err := r.unwritten(f, v.ID, v.Size); err != nil {
			return err
		}
	}
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun}); err != nil {
		return err
	}
	if err := wipe(f, 0, 0, v.Size); err != nil {
		return err
	}
	uncache(f)
	cleared, err := zero(f, 0, min(v.Size, ends))
	has, _, err2 := content.Known(f, v.Size)
	if err = cmp.Or(err, err2); err == nil && (!cleared || has != "") {
		err = fmt.Errorf("reading what was written: the volume %s has %s, and should be empty", v.ID, kind(has))
	}
	return err
}

// makeInVolume makes a filesystem in a volume that is cleared, as makeFilesystem does it in a partition.
func makeInVolume(ctx context.Context, r *run, i int) error {
	s := r.plan.Steps[i]
	v := r.planVolume(s.Volume)
	if err := r.start(ctx, v.ID); err != nil {
		return err
	}
	if err := r.readyVolume(ctx, i, v); err != nil {
		return err
	}
	id := uuid.New()
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun, UUID: written(s.Filesystem, id)}); err != nil {
		return err
	}
	if err := r.mkfs(ctx, i, s.Size, r.volumeNode(v), id); err != nil {
		return err
	}
	f, err := r.openVolume(ctx, v)
	if err != nil {
		return err
	}
	if err = f.Sync(); err == nil { // what programs wrote, and did not wait for
		uncache(f)
		err = r.hasFilesystem(f, v, r.past[i].uuids)
	}
	return errors.Join(err, f.Close())
}

// readyVolume proves that a volume is cleared, or has what an interruption of step i left, and wipes that.
func (r *run) readyVolume(ctx context.Context, i int, v plan.Volume) (err error) {
	f, err := r.openVolume(ctx, v)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !r.past[i].begun {
		cleared, err := zero(f, 0, min(v.Size, ends))
		if err == nil && !cleared {
			err = fmt.Errorf("%w: another system has written to the volume %s since it was cleared; nothing more was "+
				"written to it", ErrChanged, v.ID)
		}
		return err
	}
	has, _, err := content.Known(f, v.Size)
	if err != nil {
		return fmt.Errorf("the volume %s: %w", v.ID, err)
	}
	if has != "" {
		if err := r.hasFilesystem(f, v, r.past[i].uuids); err != nil {
			return fmt.Errorf("%w; nothing more was written to it", err)
		}
	}
	return wipe(f, 0, 0, v.Size)
}

// hasFilesystem fails if a volume has another filesystem than one with these UUIDs.
func (r *run) hasFilesystem(f device, v plan.Volume, uuids []string) error {
	has, id, err := content.Known(f, v.Size)
	switch {
	case err != nil:
		return fmt.Errorf("the volume %s: %w", v.ID, err)
	case has != v.Filesystem:
		return fmt.Errorf("%w: the volume %s has %s, and should have %s", ErrChanged, v.ID, kind(has),
			kind(v.Filesystem))
	case !slices.Contains(uuids, id):
		return fmt.Errorf("%w: the volume %s has another %s than this job made: its UUID is %q", ErrChanged, v.ID,
			kind(has), id)
	}
	return nil
}

// recorded is what the machine keeps of the volumes of the plan.
func (r *run) recorded() (out volume.Record) {
	for _, v := range r.plan.Volumes {
		switch id := r.identity(v.ID); v.Kind {
		case plan.Raid1:
			out.Arrays = append(out.Arrays, volume.RecordedArray{Name: v.ID, ID: id, Devices: len(v.On)})
		case plan.Group:
			g := volume.RecordedGroup{Name: v.ID}
			for n := range v.On {
				g.Devices = append(g.Devices, r.group(v, id, nil).DeviceID(n))
			}
			out.Groups = append(out.Groups, g)
		}
	}
	return out
}

// madeVolumes are the places in volumes. They are started then.
func (r *run) madeVolumes(ctx context.Context) (out []Place, err error) {
	for _, v := range r.plan.Volumes {
		if v.Filesystem == "" {
			continue
		}
		if err := r.start(ctx, v.ID); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(r.plan.Steps, func(s plan.Step) bool {
			return s.Do == plan.MakeFilesystem && s.Volume == v.ID
		})
		f, err := r.openVolume(ctx, v)
		if err != nil {
			return nil, err
		}
		uuids := r.past[at].uuids
		if err := errors.Join(r.hasFilesystem(f, v, uuids), f.Close()); err != nil {
			return nil, err
		}
		part := plan.Part{Size: v.Size, Filesystem: v.Filesystem, Label: v.Label, Mount: v.Mount, Use: v.Use,
			Fate: plan.Made}
		out = append(out, Place{Node: r.volumeNode(v), UUID: uuids[len(uuids)-1], Fresh: true, Part: part})
	}
	return out, nil
}

// isMember says whether a partition is a part of a volume by its use, and of what format it is then.
func isMember(use string) (format string, is bool) {
	switch use {
	case layout.RAID:
		return "linux_raid_member", true
	case layout.LVM:
		return "LVM2_member", true
	}
	return "", false
}
