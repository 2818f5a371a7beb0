package layout

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Bounds of the volumes of a document.
const (
	MaxRaids   = 16
	MaxDevices = 8 // of one array or volume group
	MaxGroups  = 8
	MaxLogical = 32 // volumes of one group
)

// volumes checks the arrays and volume groups, and that each partition for them is in one.
func (c *checker) volumes(d Document) {
	v := volumeChecker{checker: c, doc: d, used: map[string]string{}}
	if n := len(d.Raids); n > MaxRaids {
		c.wrong("raid", "", "%d arrays are more than %d", n, MaxRaids)
		return
	}
	if n := len(d.Groups); n > MaxGroups {
		c.wrong("lvm_volgroup", "", "%d volume groups are more than %d", n, MaxGroups)
		return
	}
	for i, r := range d.Raids {
		v.raid(fmt.Sprintf("raid[%d]", i), r)
	}
	for i, g := range d.Groups {
		v.group(fmt.Sprintf("lvm_volgroup[%d]", i), g)
	}
	v.unused()
}

type volumeChecker struct {
	*checker
	doc  Document
	used map[string]string // device to the volume that has it
}

func (v *volumeChecker) raid(at string, r Raid) {
	v.id(at+".id", r.ID)
	if r.Level != 1 {
		v.wrong(at+".level", "write level: 1", "an array with level %d is not supported yet", r.Level)
	}
	if n := len(r.Devices); n < 2 || n > MaxDevices {
		v.wrong(at+".devices", "", "%d devices are not between 2 and %d", n, MaxDevices)
	}
	disks := map[string]string{}
	for i, id := range r.Devices {
		at := fmt.Sprintf("%s.devices[%d]", at, i)
		p, disk, ok := v.doc.part(id)
		if !v.device(at, id, RAID, r.ID, ok && p.Use == RAID) {
			continue
		}
		if first := disks[disk]; first != "" {
			v.wrong(at, "take a partition of another disk", "%s and %s are on the same disk", first, id)
		}
		disks[disk] = id
	}
	if r.Use == LVM {
		v.onlyUse(at, r.Content)
		return
	}
	v.content(at, r.ID, r.Content)
}

// devNames are what /dev has, or may get: LVM refuses a volume group with such a name (vgcreate, "already exists in
// filesystem").
var devNames = regexp.MustCompile(`^(` +
	`block|bsg|bus|char|console|core|cpu|disk|dm-[0-9]+|dri|fb[0-9]+|fd[0-9]*|full|fuse|hd[a-z]+[0-9]*|` +
	`hidraw[0-9]+|hpet|hugepages|initctl|input|ipmi[0-9]+|kmsg|kvm|log|loop-control|loop[0-9]+|mapper|md|` +
	`md[0-9]+|mei[0-9]+|mem|mmcblk[0-9].*|mqueue|nbd[0-9]+|net|null|nvme[0-9]+.*|nvram|port|ppp|psaux|` +
	`ptmx|ptp[0-9]+|pts|ram[0-9]+|random|rfkill|root|rtc[0-9]*|sd[a-z]+[0-9]*|sg[0-9]+|shm|snapshot|snd|` +
	`sr[0-9]+|std(err|in|out)|tpm.*|tty.*|uhid|uinput|urandom|usb.*|vcs.*|vd[a-z]+[0-9]*|vfio|vga|` +
	`vhost.*|watchdog[0-9]*|xen|xvd[a-z]+[0-9]*|zero|zram[0-9]+)$`)

func (v *volumeChecker) group(at string, g Group) {
	v.id(at+".id", g.ID)
	if devNames.MatchString(g.ID) {
		v.wrong(at+".id", "take another one, such as vg0", "a volume group cannot be called %s, as something in "+
			"/dev is", g.ID)
	}
	if n := len(g.Devices); n < 1 || n > MaxDevices {
		v.wrong(at+".devices", "", "%d devices are not between 1 and %d", n, MaxDevices)
	}
	for i, id := range g.Devices {
		p, _, ok := v.doc.part(id)
		r, array := v.doc.raid(id)
		v.device(fmt.Sprintf("%s.devices[%d]", at, i), id, LVM, g.ID, ok && p.Use == LVM || array && r.Use == LVM)
	}
	if n := len(g.Volumes); n < 1 || n > MaxLogical {
		v.wrong(at+".lvm_partitions", "", "%d volumes are not between 1 and %d", n, MaxLogical)
		return
	}
	rest, share := 0, 0
	for i, l := range g.Volumes {
		at := fmt.Sprintf("%s.lvm_partitions[%d]", at, i)
		v.id(at+".id", l.ID)
		if strings.HasPrefix(l.ID, "snapshot") || strings.HasPrefix(l.ID, "pvmove") { // lvm(8), "VALID NAMES"
			v.wrong(at+".id", "take another one", "LVM reserves names that begin with snapshot or pvmove")
		}
		if l.Size.IsZero() {
			v.wrong(at, "add size: 20G, 25% or rest", "it does not say how large the volume is to be")
		}
		if l.Size.Rest {
			if rest++; rest == 2 {
				v.wrong(at+".size", "", "another volume of the group has the rest")
			}
		}
		if share += l.Size.Percent; share > 100 && share-l.Size.Percent <= 100 {
			v.wrong(at+".size", "", "the sizes up to here are more than 100%% of the group")
		}
		v.content(at, l.ID, l.Content)
	}
}

// device checks a device of a volume, which must be there, for the volume, and in no other one.
func (v *volumeChecker) device(at, id, use, volume string, fits bool) bool {
	if !fits {
		v.wrong(at, "", "the layout has nothing with id: %s and use: %s", short(id), use)
		return false
	}
	if first := v.used[id]; first != "" {
		v.wrong(at, "", "%s is in %s already", id, first)
		return false
	}
	v.used[id] = volume
	return true
}

// content checks what is made in a volume.
func (v *volumeChecker) content(at, id string, c Content) {
	if !slices.Contains(volumeUses, c.Use) {
		hint := ""
		if c.Use == Pool {
			hint = "put the pool into a partition"
		}
		v.wrong(at+".use", hint, "%q is not one of data, home, swap: nothing else is made in a volume so far",
			short(c.Use))
		return
	}
	p := c.Partition(id)
	v.purpose(at, p)
	v.mount(at+".mount", p)
}

// volumeUses are what is made in volumes.
var volumeUses = []string{Data, Home, Swap}

func (v *volumeChecker) onlyUse(at string, c Content) {
	for _, k := range []struct{ key, value string }{
		{"filesystem", c.Filesystem}, {"label", c.Label}, {"mount", c.Mount},
	} {
		if k.value != "" {
			v.wrong(at+"."+k.key, "leave it out", "an array with use: lvm is a part of a volume group")
		}
	}
}

// unused finds partitions and arrays for volumes that none has.
func (v *volumeChecker) unused() {
	for i, disk := range v.doc.Disks {
		for j, p := range disk.Partitions {
			if (p.Use == RAID || p.Use == LVM) && v.used[p.ID] == "" {
				noun := "raid"
				if p.Use == LVM {
					noun = "lvm_volgroup"
				}
				v.wrong(fmt.Sprintf("disks[%d].partitions[%d].use", i, j), fmt.Sprintf("add it to devices of a %s",
					noun),
					"%s is in no %s", p.ID, noun)
			}
		}
	}
	for i, r := range v.doc.Raids {
		if r.Use == LVM && v.used[r.ID] == "" {
			v.wrong(fmt.Sprintf("raid[%d].use", i), "add it to devices of a lvm_volgroup", "%s is in no lvm_volgroup",
				r.ID)
		}
	}
}

// member checks a partition that is a part of a volume.
func (c *checker) member(at string, p Partition) {
	if p.Use != RAID && p.Use != LVM {
		return
	}
	for _, k := range []struct {
		key   string
		given bool
	}{{"label", p.Label != ""}, {"mount", p.Mount != ""}, {"keep", p.Keep}} {
		if k.given {
			c.wrong(at+"."+k.key, "leave it out", "a partition with use: %s is a part of a volume that is made", p.Use)
		}
	}
	if p.Match != nil && !p.Wipe {
		c.wrong(at+".match", "if its content may be lost, add wipe: true", "volumes are made, and not kept so far: "+
			"what "+
			"is in the partition is lost")
	}
}
