package pool

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/subvolume"
)

// Place is where a pool is. What it says of the disk is found by what the partitions are, and not by their numbers.
type Place struct {
	Disk       string // device file of the whole disk: "/dev/vda"
	Job        string // ID of the job that installed it
	Size       int64  // of the disk, in bytes
	SectorSize int    // of the disk, in bytes
	Table      string // "gpt" or "mbr"
	TableID    string // GUID of a GPT, or disk signature of an MBR, as job.Disk has it; "" if it has none
	Pool       string // device file of the partition; of an encrypted pool of the opened volume, "" if it is closed
	ESP        string // device file of the partition, or the folder where it is mounted; "" if it is not known
	// ESPID is the UUID of an EFI system partition that other systems start from too, such as "7A3C-11F0"; "" for one
	// that has the label of the job.
	ESPID string
	// Shared says that the disk has partitions of other systems, or may have.
	Shared bool
	// BIOS is where GRUB for a BIOS is: the BIOS boot partition, or what is before the first partition of an MBR. The
	// zero value means that the system starts by UEFI only.
	BIOS Extent

	// Partition is the device file of the partition of an encrypted pool, and Volume the UUID of its LUKS2 volume, in
	// lower case; "" for a pool that is not encrypted.
	Partition, Volume string

	// Boot is the device file of the partition for kernels, if the pool is encrypted; "" looks for it when the pool is
	// opened.
	Boot string

	// Own are the roots that are partitions; nil if the roots are in the pool.
	Own []Own
	// PoolID is the UUID of what they share; "" if the roots are in the pool.
	PoolID string

	// Others are the other disks of a mirror, each with what it has of this, but for Others and Missing. Missing is how
	// many more there should be.
	Others  []Place
	Missing int

	noESP     error  // why ESP is not known
	device    uint64 // the ID of Pool in the filesystem
	espNumber int    // of the partition ESP
}

// mbr is Place.Table of a disk with an MBR.
const mbr = "mbr"

// Extent is a run of bytes on a disk.
type Extent struct{ Start, Size int64 }

// Config is c with what the EFI system partition is known by, after an install by this job.
func (p Place) Config(c bootloader.Config, id string) bootloader.Config {
	c.ESP, c.ESPID, c.Shared = job.ESPLabel(id), "", false
	if p.ESPID != "" {
		c.ESP, c.ESPID, c.Shared = "", p.ESPID, true
	}
	return c
}

// On is the pool on a disk, whose device file is path. A disk without a finished install is ErrNone. An encrypted pool
// is found without its key.
func On(path string) (Place, error) { return on(path, "") }

// on is On. Of a disk with several pools number says which partition is meant.
func on(path, number string) (Place, error) {
	d, err := disk.Find(os.DirFS(sys), disk.Open, path)
	if err != nil {
		return Place{}, fmt.Errorf("looking for a pool: %w", err)
	}
	pool, err := onePool(d.Content, number)
	if err != nil {
		return Place{}, fmt.Errorf("looking for a pool on %s: %w", path, err)
	}
	p, err := in(path, d, pool)
	if err == nil && !p.Encrypted() { // which a mirror is not
		p.join(nodes(sys))
	}
	return p, err
}

// sys is where sysfs is mounted.
const sys = "/sys"

// in is what a disk has of a pool: the partition itself, and what the machine starts it from.
func in(path string, d disk.Disk, pool content.Pool) (p Place, err error) {
	p = Place{Disk: path, Job: pool.Job, Size: d.Size, SectorSize: d.SectorSize, Table: d.Table,
		TableID: d.GUID, BIOS: biosOf(d.Content)}
	if p.Pool, err = disk.Node(path, sys, pool.Number); err != nil {
		return Place{}, err
	}
	if pool.Signature.Type == content.Encrypted {
		p.encrypted(sys, pool.UUID)
	}
	var nodes []string
	esps := espsOf(d.Content, pool)
	for _, e := range esps {
		node, err := disk.Node(path, sys, e.Number)
		if err != nil {
			return Place{}, err
		}
		nodes = append(nodes, node)
	}
	if pool.Signature.Type == "ext4" {
		if p.Own, err = ownOf(path, d.Content, p.Pool); err != nil {
			return Place{}, err
		}
		p.PoolID = pool.UUID
	}
	at, err := ours(filesystemOf(p.Pool, pool), nodes, configured)
	if err != nil {
		p.noESP = fmt.Errorf("looking for the EFI system partition on %s: %w", path, err)
		return p, nil
	}
	p.ESP, p.espNumber, p.Shared = nodes[at], esps[at].Number, pool.Version == content.Shared
	if p.Shared && esps[at].Signature.Label != job.ESPLabel(p.Job) {
		if p.ESPID, err = disk.FATID(p.ESP); err != nil {
			p.ESP, p.noESP = "", err
		}
	}
	return p, nil
}

// onePool is the pool of the disk, or the one in the partition with this number.
func onePool(c content.Content, number string) (content.Pool, error) {
	if pool, ok := c.Installed(); ok && (number == "" || strconv.Itoa(pool.Number) == number) {
		return pool, nil
	}
	several := slices.DeleteFunc(c.Pools(), func(p content.Pool) bool { return !p.Finished || c.Begun != "" })
	for _, p := range several {
		if strconv.Itoa(p.Number) == number {
			return p, nil
		}
	}
	if number != "" || len(several) < 2 {
		return content.Pool{}, ErrNone
	}
	return content.Pool{}, fmt.Errorf("partitions %d and %d both have the mark of a finished install, and it is not "+
		"known which one is meant: remove the one that is not needed", several[0].Number, several[1].Number)
}

// espsOf are the EFI system partitions of the disk that the pool may start from: one, if that is known.
func espsOf(c content.Content, pool content.Pool) (all []content.Partition) {
	for _, p := range c.Partitions {
		if p.Type == "EFI system" {
			all = append(all, p)
		}
	}
	for _, is := range []func(p content.Partition) bool{
		func(p content.Partition) bool { return p.Signature.Label == job.ESPLabel(pool.Job) },
		func(p content.Partition) bool { return p.Name == content.NameESP },
	} {
		if at := slices.IndexFunc(all, is); at >= 0 {
			return all[at : at+1]
		}
	}
	return all
}

// ours is which EFI system partition the system in a pool starts from: the only one, or the one whose grub.cfg names
// that filesystem, or that volume.
func ours(pool func() (string, error), esps []string, configured func(esp string) (pool string, err error)) (int,
	error) {
	if len(esps) == 1 {
		return 0, nil
	}
	if len(esps) == 0 {
		return 0, errors.New("the disk has none")
	}
	id, err := pool()
	if err != nil {
		return 0, err
	}
	for i, node := range esps {
		if named, err := configured(node); err == nil && named == id {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the disk has %d, and none of them has the grub.cfg of this pool", len(esps))
}

// filesystemOf is the UUID of the filesystem in the partition of a pool, or of the volume that has an encrypted pool.
func filesystemOf(node string, pool content.Pool) func() (string, error) {
	return func() (string, error) {
		if pool.Signature.Type == "ext4" || pool.Signature.Type == content.Encrypted {
			return strings.ToLower(pool.UUID), nil
		}
		s, err := superOf(node)
		return s.Filesystem, err
	}
}

// configured is the filesystem that the grub.cfg on an EFI system partition names, or the volume of an encrypted pool,
// whose filesystem no one can see before it is open.
func configured(node string) (string, error) {
	esp, err := subvolume.FAT(node)
	if err != nil {
		return "", err
	}
	conf, err := bootloader.ReadConfig(esp.Dir())
	if err = errors.Join(err, esp.Close()); err == nil && conf.Boot != nil {
		return conf.Boot.Volume, nil
	}
	return conf.PoolID, err
}

// biosOf is where GRUB for a BIOS is on the disk.
func biosOf(c content.Content) Extent {
	const gap, sector = 1 << 20, 512 // where the first partition begins, if the disk was made since about 2007
	if c.Table == mbr {
		to := int64(gap)
		for _, p := range c.Partitions {
			to = min(to, p.Start)
		}
		return Extent{sector, max(0, to-sector)}
	}
	var found Extent
	for _, p := range c.Partitions {
		if p.Type == "BIOS boot" && (found == Extent{} || p.Name == content.NameBIOS) {
			found = Extent{p.Start, p.Size}
		}
	}
	return found
}
