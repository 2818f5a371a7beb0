package install

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/disk/disktest"
)

// dirt is something that a disk of 1 GiB may hold.
type dirt struct {
	name string
	make func(t *testing.T)
	want string // in the refusal
}

const gib = 1 << 30

// TestDirtyDisks: whatever a disk holds, Run leaves it alone unless the job may erase that disk.
func TestDirtyDisks(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := disktest.Loop(t, gib, 512)
	all := append(append(filesystems(t, dev), members(dev)...), append(tables(dev), unknown(dev)...)...)
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			disktest.Tool(t, "blkdiscard", "-f", dev)
			c.make(t)
			before := sum(t, dev)
			j := &journal{}
			err := Run(t.Context(), spec(dev), img, []job.Disk{found(t, dev, "D1")}, j, o)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "add --erase D1") {
				t.Errorf("Run = %v, want ErrRefused with %q", err, c.want)
			}
			if e := j.last(); e.State != job.Failed || e.Level != job.Error || e.Phase != job.PhaseCheck ||
				!strings.Contains(e.Message, "nothing was written to disk") {
				t.Errorf("last event = %+v, want a failure that says that nothing was written to disk", e)
			}
			// A list of disks that is out of date, or of a liar, changes nothing.
			stale := found(t, dev, "D1")
			stale.Table, stale.Signature, stale.Partitions, stale.Sampled = "", "", nil, job.Zeros
			if err := Run(t.Context(), spec(dev), img, []job.Disk{stale}, &journal{}, o); !errors.Is(err, ErrRefused) {
				t.Errorf("Run with an old list of disks = %v, want ErrRefused", err)
			}
			if sum(t, dev) != before {
				t.Error("the disk has changed")
			}
		})
	}
	s := spec(dev)
	s.Erase = "D1"
	before, swapped := sum(t, dev), o
	swapped.Serial = func(string) (string, error) { return "D2", nil }
	if err := Run(t.Context(), s, img, []job.Disk{found(t, dev, "D1")}, &journal{},
		swapped); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "another disk") {
		t.Errorf("Run on a disk that took the place of another = %v, want ErrRefused", err)
	}
	if sum(t, dev) != before {
		t.Error("the disk that took the place of another has changed")
	}
	if err := Run(t.Context(), s, img, []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Errorf("Run of a job that may erase the disk = %v", err)
	}
}

// puts writes data at some places of dev.
func puts(dev string, at map[int64]string) func(t *testing.T) {
	return func(t *testing.T) {
		for off, data := range at {
			write(t, dev, off, data)
		}
	}
}

// runs runs a program on dev: DEV among its arguments, or at their end.
func runs(dev, command string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		args := strings.Fields(command)
		if !strings.Contains(command, "DEV") {
			args = append(args, "DEV")
		}
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "DEV", dev)
		}
		disktest.Tool(t, args[0], args[1:]...)
	}
}

func filesystems(t *testing.T, dev string) []dirt {
	empty := t.TempDir()
	if err := os.WriteFile(empty+"/file", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []dirt{
		{"ext4", runs(dev, "mkfs.ext4 -q -F -L thesis"), `whole disk: ext4 "thesis"`},
		{"btrfs", runs(dev, "mkfs.btrfs -q -f"), "whole disk: btrfs"},
		{"xfs", runs(dev, "mkfs.xfs -q -f"), "whole disk: xfs"},
		{"swap", runs(dev, "mkswap"), "whole disk: swap"},
		{"FAT without partitions", runs(dev, "mkfs.vfat -I"), "whole disk: vfat"},
		{"NTFS", runs(dev, "mkntfs -q -F -Q -L Windows"), "whole disk: ntfs"},
		{"exFAT", runs(dev, "mkfs.exfat -L disc"), "whole disk: exfat"},
		{"OCFS2", runs(dev, "mkfs.ocfs2 -q -F -x -M local --no-backup-super -J size=4M -N 1 -T mail -L data"),
			`whole disk: ocfs2 "data"`},
		{"minix", runs(dev, "mkfs.minix -3"), "whole disk: minix"},
		{"bfs", runs(dev, "mkfs.bfs DEV 1000"), "whole disk: bfs"},
		{"cramfs", runs(dev, "mkfs.cramfs -n ram "+empty), `whole disk: cramfs "ram"`},
		{"UFS1", puts(dev, map[int64]string{8<<10 + 1372: "\x54\x19\x01\x00"}), "whole disk: ufs"},
		{"UFS2, big endian", puts(dev, map[int64]string{64<<10 + 1372: "\x19\x54\x01\x19"}), "whole disk: ufs"},
		{"VxFS", puts(dev, map[int64]string{1024: "\xf5\xfc\x01\xa5"}), "whole disk: vxfs"},
		{"HFS", puts(dev, map[int64]string{1024: "BD", 1024 + 20: "\x00\x00\x10\x00", 1024 + 36: "\x03Mac"}),
			`whole disk: hfs "Mac"`},
		{"tar", func(t *testing.T) {
			disktest.Tool(t, "tar", "-C", empty, "-cf", empty+"/t.tar", "file")
			b, err := os.ReadFile(empty + "/t.tar")
			if err != nil {
				t.Fatal(err)
			}
			write(t, dev, 0, string(b))
		}, `whole disk: tar archive "file"`},
	}
}

func members(dev string) []dirt {
	return []dirt{
		{"LVM", puts(dev, map[int64]string{512: "LABELONE" + strings.Repeat("\x01", 16) + "LVM2 001"}),
			"whole disk: LVM physical volume"},
		{"LVM by pvcreate", runs(dev, "pvcreate -qq -y --config "+
			"devices{filter=[\"a|DEV|\",\"r|.*|\"]use_devicesfile=0} DEV"), "whole disk: LVM physical volume"},
		{"LVM1", puts(dev, map[int64]string{0: "HM\x01\x00"}), "whole disk: LVM physical volume"},
		{"Linux RAID 1.2", puts(dev, map[int64]string{4096: "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"}),
			"whole disk: member of an md array (RAID0)"},
		{"Linux RAID 0.90", puts(dev, map[int64]string{gib - 1<<16: "\xfc\x4e\x2b\xa9\x00\x00\x00\x00"}),
			"whole disk: member of an md array (RAID0)"},
		{"LUKS", func(t *testing.T) {
			key := t.TempDir() + "/key"
			if err := os.WriteFile(key, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			disktest.Tool(t, "cryptsetup", "luksFormat", "-q", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
				"--label", "vault", dev, key)
		}, `whole disk: encrypted by LUKS2 "vault"`},
		{"DRBD by drbdmeta", runs(dev, "drbdmeta --force 0 v09 DEV internal create-md 1"), "whole disk: drbd"},
		{"DRBD 8", puts(dev, map[int64]string{gib - 4096 + 60: "\x83\x74\x02\x6b"}), "whole disk: drbd"},
		{"Oracle ASM", puts(dev, map[int64]string{32: "ORCLDISKVOL1\x00"}), `whole disk: oracleasm "VOL1"`},
		{"Intel RAID", puts(dev, map[int64]string{gib - 1024: "Intel Raid ISM Cfg Sig. 1.3.00"}),
			"whole disk: member of an Intel RST array (fake RAID)"},
		{"Intel RAID on sectors of 4096 bytes",
			puts(dev, map[int64]string{gib - 8192: "Intel Raid ISM Cfg Sig. 1.3.00"}),
			"whole disk: member of an Intel RST array (fake RAID)"},
		{"DDF", puts(dev, map[int64]string{gib - 512: "\xde\x11\xde\x11"}), "whole disk: member of a DDF array"},
		{"DDF, little endian", puts(dev, map[int64]string{gib - 512: "\x11\xde\x11\xde"}),
			"whole disk: member of a DDF array"},
		{"NVIDIA RAID", puts(dev, map[int64]string{gib - 1024: "NVIDIA  "}),
			"whole disk: member of an array of nvidia firmware (fake RAID)"},
		{"Promise RAID", puts(dev, map[int64]string{gib - 63*512: "Promise Technology, Inc."}),
			"whole disk: member of an array of promise_fasttrack firmware (fake RAID)"},
		{"LSI RAID", puts(dev, map[int64]string{gib - 512: "$XIDE$"}),
			"whole disk: member of an array of lsi_mega firmware (fake RAID)"},
		{"VIA RAID", puts(dev, map[int64]string{gib - 512: "\x55\xaa\x01", gib - 512 + 50: "\x00"}),
			"whole disk: member of an array of via firmware (fake RAID)"},
	}
}

func tables(dev string) []dirt {
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	list := []dirt{
		{"GPT without partitions", runs(dev, "sgdisk -o"), "an empty gpt partition table"},
		{"backup GPT alone",
			func(t *testing.T) { disktest.Tool(t, "sgdisk", "-n", "1:0:+100M", dev); write(t, dev, 0, zeros(2<<20)) },
			"a damaged gpt partition table: only its backup copy is left; partition 1: 105 MB"},
		{"GPT with bad checksums",
			func(t *testing.T) {
				disktest.Tool(t, "sgdisk", "-o", dev)
				write(t, dev, 530, "x")
				write(t, dev, gib-480, "x")
			},
			"a damaged gpt partition table: no copy of it can be read"},
		{"protective MBR without a GPT", func(t *testing.T) {
			disktest.Tool(t, "sgdisk", "-o", dev)
			write(t, dev, 512, zeros(512))
			write(t, dev, gib-512, zeros(512))
		}, "a damaged gpt partition table: only its protective MBR is left"},
		{"MBR", puts(dev, map[int64]string{446: "\x80\x00\x00\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x00\x10\x00",
			510: "\x55\xaa"}), "partition 1: 537 MB, Linux filesystem"},
		{"MBR with an odd status byte", puts(dev,
			map[int64]string{446: "\x12\x00\x00\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x00\x10\x00", 510: "\x55\xaa"}),
			"a damaged mbr partition table: it has a status byte of 0x12; partition 1: 537 MB"},
		{"AIX", puts(dev, map[int64]string{0: "\xc9\xc2\xd4\xc1"}), "an empty aix partition table"},
		{"Atari", puts(dev, map[int64]string{0x1c6: "\x01GEM\x00\x00\x00\x02\x00\x01\x00\x00"}),
			"an empty atari partition table"},
	}
	// What parted calls dvh is SGI's.
	for label, want := range map[string]string{"mac": "mac", "sun": "sun", "bsd": "bsd",
		"amiga": "amiga", "dvh": "sgi"} {
		list = append(list, dirt{"parted's " + label, runs(dev, "parted -s DEV mklabel "+label),
			"an empty " + want + " partition table"})
	}
	return list
}

// unknown is what has no name. The bytes of VeraCrypt, and of LUKS with its header elsewhere, look random.
func unknown(dev string) []dirt {
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	const what = "unknown content: data at byte "
	random := make([]byte, 16<<20)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	list := []dirt{
		{"random bytes", puts(dev, map[int64]string{0: string(random)}), what},
		{"random bytes in the middle alone",
			puts(dev, map[int64]string{500 << 20: string(random), 516 << 20: string(random)}), what},
		{"ext4 without its first 8 MiB",
			func(t *testing.T) {
				disktest.Tool(t, "mkfs.ext4", "-q", "-F", dev)
				write(t, dev, 0, zeros(8<<20))
			}, what},
		{"btrfs without its first MiB",
			func(t *testing.T) {
				disktest.Tool(t, "mkfs.btrfs", "-q", "-f", dev)
				write(t, dev, 0, zeros(1<<20))
			}, what},
		{"ones with a zero", func(t *testing.T) {
			write(t, dev, 0, string(bytes.Repeat([]byte{0xff}, 16<<20)))
		}, what},
	}
	for _, at := range []int64{0, 5 << 20, 16<<20 - 1, gib - 16<<20, gib - 1} {
		list = append(list, dirt{fmt.Sprintf("one byte at %d", at), puts(dev, map[int64]string{at: "\x01"}),
			fmt.Sprintf("%s%d (0x01)", what, at)})
	}
	return list
}
