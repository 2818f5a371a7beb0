package layout

import (
	"slices"
	"strings"
	"testing"
)

// sealed is a document without a mistake whose pool is encrypted.
func sealed() Document {
	return Document{Version: 1, Disks: []Disk{{ID: "main", Match: Match{Size: Largest}, Partitions: []Partition{
		{ID: "esp", Use: ESP},
		{ID: "boot", Use: Boot},
		{ID: "pool", Use: Pool, Size: Size{Rest: true}, LUKS: &LUKS{Unlock: []string{Passphrase, TPM2}}},
	}}}}
}

func TestBoot(t *testing.T) {
	t.Parallel()
	d := sealed()
	if all := d.Check(); len(all) > 0 || !d.EncryptsPool() || !d.Encrypts() || good().EncryptsPool() {
		t.Fatalf("Check of a good document = %v, EncryptsPool %v", all, d.EncryptsPool())
	}
	if p := d.Disks[0].Partitions[1].Made(); p.Filesystem != "ext4" || p.Label != BootLabel ||
		p.Size.Bytes != 1<<30 {
		t.Errorf("Made = %+v, want an ext4 of 1 GiB", p)
	}
	const boot, pool = "disks[0].partitions[1]", "disks[0].partitions[2]"
	for _, c := range []struct {
		name   string
		change func(d *Disk, p []Partition)
		want   string
	}{
		{"no boot", func(d *Disk, p []Partition) { d.Partitions = slices.Delete(p, 1, 2) }, boot + ".luks: an " +
			"encrypted pool needs a partition with use: boot, because GRUB cannot open the pool; add {id: boot, use: " +
			"boot}"},
		{"for nothing", func(_ *Disk, p []Partition) { p[2].LUKS = nil }, boot + ": a partition with use: boot is " +
			"for the kernels of an encrypted pool, and the layout has none; leave it out"},
		{"two", func(d *Disk, p []Partition) {
			d.Partitions = append(p, Partition{ID: "more", Use: Boot})
		}, "disks[0].partitions[3]: another partition has use: boot too; leave it out"},
		{"small", func(_ *Disk, p []Partition) { p[1].Size = Size{Bytes: 511 << 20} }, boot + ".size: 511M is too " +
			"small for kernels and initrds, which need at least 512M; write size: 1G"},
		{"least", func(_ *Disk, p []Partition) { p[1].Size = Size{Bytes: MinBoot} }, ""},
		{"xfs", func(_ *Disk, p []Partition) { p[1].Filesystem = "xfs" }, boot + ".filesystem: a partition with " +
			"use: boot has ext4"},
		{"label", func(_ *Disk, p []Partition) { p[1].Label = "boot" }, boot + ".label: Griddle gives the label of " +
			"a partition with use: boot; leave it out"},
		{"mount", func(_ *Disk, p []Partition) { p[1].Mount = "/srv" }, boot + ".mount: only partitions with use: " +
			"data or home are mounted"},
		{"encrypted", func(_ *Disk, p []Partition) { p[1].LUKS = p[2].LUKS }, boot + ".luks: only partitions with " +
			"use: pool, data, home or swap are encrypted; leave it out"},
		{"by the TPM alone", func(_ *Disk, p []Partition) { p[2].LUKS.Unlock = []string{TPM2} }, pool +
			".luks.unlock: without a passphrase or a recovery key, everything is lost when the TPM or the board is; " +
			"add passphrase or recovery"},
		{"roots", func(d *Disk, p []Partition) { d.Partitions = append(apart().Disks[0].Partitions, p[1]) },
			"disks[0].partitions[4]: a partition with use: boot is for the kernels of an encrypted pool, and the " +
				"layout has none; leave it out"},
	} {
		d := sealed()
		c.change(&d.Disks[0], d.Disks[0].Partitions)
		var got []string
		for _, m := range d.Check() {
			got = append(got, m.Error())
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, strings.Join(got, "\n"), c.want)
		}
	}
	apart := sealed()
	apart.Disks = append(apart.Disks, Disk{ID: "more", Match: Match{Size: Smallest},
		Partitions: []Partition{apart.Disks[0].Partitions[1]}})
	apart.Disks[0].Partitions = slices.Delete(apart.Disks[0].Partitions, 1, 2)
	if all := apart.Check(); len(all) != 1 || !strings.Contains(all[0].Error(), "the pool is on another disk than ") {
		t.Errorf("on another disk: %v", all)
	}
	mirror := sealed()
	mirror.Disks = append(mirror.Disks, Disk{ID: "more", Match: Match{Size: Smallest}, Partitions: []Partition{
		{ID: "esp2", Use: ESP}, {ID: "pool2", Use: Pool, Size: Size{Rest: true}}}})
	if all := mirror.Check(); len(all) != 1 || !strings.Contains(all[0].Error(), "a mirror that is encrypted is not ") {
		t.Errorf("a mirror: %v", all)
	}
}
