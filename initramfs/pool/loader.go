package pool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootcopy"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/gap"
	"griddle/initramfs/disk/table"
)

// Bootloader installs GRUB on the disk of the pool again, for BIOS and for UEFI, with the files that
// bootloader.BuildGRUB made. What boots, and its kernel arguments, stay. Without a grub.cfg there are no further
// arguments, and of an encrypted pool its disk says what GRUB needs; without grubenv as well the root that proved
// itself last boots, or else the newest root with a kernel. Beside an encrypted pool the kernels are copied before.
//
// bios says that the machine starts by a BIOS now. On an EFI system partition that other systems share, no file of
// theirs changes. Of a mirror GRUB is installed on each disk. A disk without room for GRUB for BIOS is an error
// (gap.ErrNone) only where bios is true.
func (p *Pool) Bootloader(images fs.FS, bios bool) error {
	return p.change(func(c Contents) error {
		if p.noESP != nil {
			return p.noESP
		}
		if err := p.convert(c); err != nil {
			return err
		}
		conf, err := c.conf, error(nil)
		if c.NoBoots != nil {
			conf, err = p.config(c)
		}
		if err == nil {
			err = p.bootable(c, conf)
		}
		if err != nil {
			return err
		}
		var errs error
		err = p.Each(conf, p.place.Job, func(h Half, c bootloader.Config) error {
			err := h.bootloader(images, c, bios)
			errs = errors.Join(errs, err)
			return err
		})
		return cmp.Or(err, errs)
	})
}

// bootloader installs GRUB on one disk of the pool.
func (h Half) bootloader(images fs.FS, c bootloader.Config, bios bool) error {
	if err := bootloader.InstallESP(h.Dir, images, c); err != nil {
		return err
	}
	f, err := os.OpenFile(h.Disk, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening the disk: %w", err)
	}
	err = bootloader.InstallBIOS(f, images, bootloader.Extent{Start: h.BIOS.Start, Size: h.BIOS.Size}, h.SectorSize)
	if errors.Is(err, bootloader.ErrSectorSize) || errors.Is(err, gap.ErrNone) && !bios {
		return f.Close() // it boots only by UEFI
	}
	if err == nil && bios && h.Table != mbr { // whose active partition is that of its owner
		err = table.Activate(f)
	}
	return errors.Join(err, f.Close())
}

// bootable has GRUB find a kernel beside an encrypted pool for the root that starts: one of now, or at least one of
// before.
func (p *Pool) bootable(c Contents, conf bootloader.Config) error {
	if p.boot == nil || p.boot.err != nil {
		return p.bootError()
	}
	last, _ := cutRoots(conf.Root)
	last = cmp.Or(c.Boots, last)
	if err := p.sync(); err != nil {
		return err
	}
	failed, err := p.copyAll(c, []string{last}, bootcopy.Root{})
	if err != nil {
		return err
	}
	if _, err := bootcopy.Copy(p.boot.dir, last); err != nil {
		return errors.Join(failed[last], err)
	}
	return nil
}

// config is a new grub.cfg for the root that starts by grubenv and markers, else for the newest root with a kernel.
func (p *Pool) config(c Contents) (bootloader.Config, error) {
	id, err := p.filesystem()
	if err != nil {
		return bootloader.Config{}, err
	}
	last := c.starts("", 0)
	for _, r := range c.Roots {
		if last == "" && r.Kernel && bootenv.CheckName(r.Name) == nil {
			last = r.Name
		}
	}
	if last == "" {
		return bootloader.Config{}, errors.New("installing GRUB: no root of the pool has a kernel")
	}
	conf := bootloader.Config{PoolID: id, Root: roots + "/" + last, Others: p.place.Shared, Own: p.place.own()}
	if p.boot != nil {
		if p.boot.err != nil {
			return bootloader.Config{}, p.boot.err
		}
		conf.Boot = &p.boot.of
	}
	return conf, nil
}
