package layout

import "fmt"

// A pool can be encrypted. GRUB cannot open it: its passphrase is slowed down by Argon2id, which GRUB 2.06 and 2.12 do
// not know. So kernel and initrd of each root are in a partition of their own beside the pool, which is not encrypted,
// and an initrd opens the pool:
//
//	a partition with use: pool and luks    the systems, and all that is in them
//	a partition with use: boot             ext4, on the same disk; a copy of what GRUB loads for each root
//	an esp, and for a BIOS a bios          as with any pool

// MinBoot is how large a partition with the use Boot must be, in bytes: some kernels with an initrd of dracut.
const MinBoot = 512 << 20

// boots checks the partition with what GRUB loads for an encrypted pool.
func (c *checker) boots(d Document) {
	encrypted := d.EncryptsPool()
	if encrypted && d.Mirrors() {
		c.wrong("disks", "leave luks out of the pool, or have it on one disk", "a mirror that is encrypted is not "+
			"supported yet")
		return
	}
	boots := 0
	for i, disk := range d.Disks {
		for j, p := range disk.Partitions {
			at := fmt.Sprintf("disks[%d].partitions[%d]", i, j)
			if p.Use != Boot {
				continue
			}
			switch boots++; {
			case !encrypted:
				c.wrong(at, "leave it out", "a partition with use: boot is for the kernels of an encrypted pool, and "+
					"the layout has none")
			case disk.has(Pool) == 0:
				c.wrong(at, "have both on one disk", "the pool is on another disk than this partition")
			case boots > 1:
				c.wrong(at, "leave it out", "another partition has use: boot too")
			case p.Size.Bytes > 0 && p.Size.Bytes < MinBoot:
				c.wrong(at+".size", "write size: 1G", "%s is too small for kernels and initrds, which need at least "+
					"512M", p.Size)
			}
		}
		for j, p := range disk.Partitions {
			if p.Use == Pool && p.LUKS != nil && !d.hasAny(Boot) {
				c.wrong(fmt.Sprintf("disks[%d].partitions[%d].luks", i, j), "add {id: boot, use: boot}", "an "+
					"encrypted pool needs a partition with use: boot, because GRUB cannot open the pool")
			}
		}
	}
}

// EncryptsPool says whether the pool of the document is encrypted.
func (d Document) EncryptsPool() bool {
	for _, disk := range d.Disks {
		for _, p := range disk.Partitions {
			if p.Use == Pool && p.LUKS != nil {
				return true
			}
		}
	}
	return false
}
