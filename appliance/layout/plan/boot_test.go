package plan

import (
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// TestEncryptedPool plans a pool that is encrypted, and the partition that GRUB reads.
func TestEncryptedPool(t *testing.T) {
	crypt := layout.Partition{ID: "pool", Use: layout.Pool, Size: rest,
		LUKS: &layout.LUKS{Unlock: []string{layout.Passphrase, layout.TPM2}}}
	boot := layout.Partition{ID: "boot", Use: layout.Boot}
	p := planned(t, of(esp, boot, crypt), blank(20*gib, 512))
	var did []Verb
	for _, s := range p.Steps {
		switch {
		case s.Number == 3:
			did = append(did, s.Do)
			if s.Do == MakeFilesystem && (s.If.Filesystem != layout.Encrypted || s.Filesystem != "btrfs" ||
				s.Label != layout.PoolLabel || s.Unlock != "passphrase tpm2") {
				t.Errorf("the pool within is made by %+v", s)
			}
		case s.Number == 2 && s.Do == MakeFilesystem && (s.Filesystem != "ext4" || s.Label != layout.BootLabel ||
			s.Unlock != ""):
			t.Errorf("the filesystem for kernels is made by %+v", s)
		}
	}
	if !slices.Equal(did, []Verb{AddEntry, Clear, Encrypt, MakeFilesystem}) {
		t.Errorf("the steps of the pool are %v", did)
	}
	after := p.Disks[0].After
	if after[1].Name != layout.BootLabel || after[1].Size != gib || after[1].Type != "Linux filesystem" ||
		after[2].Name != layout.NamePool || after[2].Filesystem != layout.Encrypted || after[2].Inside != "btrfs" {
		t.Errorf("the partitions will be %+v", after)
	}
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, "partition 2 has kernel and initrd of each "+
		"system, and is not encrypted") {
		t.Errorf("the notes are %s", notes)
	}
	if err := p.Verify(); err != nil {
		t.Error(err)
	}

	// What is there.
	with := func(pool, kernels string, size int64) job.Disk {
		d := blank(20*gib, 512)
		d.Table, d.TableID, d.Sampled = "gpt", "G", ""
		d.Partitions = []job.Partition{
			{Number: 1, Start: mib, Size: 260 * mib, Type: "EFI system", Filesystem: "vfat"},
			{Number: 2, Start: gib, Size: size, Type: "Linux filesystem", Filesystem: "ext4", Label: kernels},
			{Number: 3, Start: 4 * gib, Size: 4 * gib, Type: "Linux filesystem", Name: layout.NamePool,
				Filesystem: pool},
		}
		return d
	}
	empty := crypt
	empty.Wipe, empty.Size = true, layout.Size{}
	empty.Match = &layout.Which{Number: 3}
	kept := planned(t, of(esp, boot, empty), with("btrfs", layout.BootLabel, gib)).Disks[0].After
	if kept[1].Fate != Stays || kept[1].Use != layout.Boot || kept[2].Fate != Emptied ||
		kept[2].Filesystem != layout.Encrypted {
		t.Errorf("with a partition for kernels, the partitions will be %+v", kept)
	}
	refused(t, "kernels have no room", of(esp, boot, empty), "is too small", with("btrfs", layout.BootLabel, 256*mib))
	stays := crypt
	refused(t, "an encrypted pool of others", of(esp, boot, stays), "it has no mark of an install",
		with(layout.Encrypted, layout.BootLabel, gib))
	marked := with(layout.Encrypted, layout.BootLabel, gib)
	marked.Partitions[2].Installed = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	same := planned(t, of(esp, boot, stays), marked)
	if p := same.Disks[0].After[2]; len(same.Steps) > 0 || p.Fate != Stays || p.Use != layout.Pool ||
		p.Filesystem != layout.Encrypted || p.Inside != "btrfs" || p.Unlock != "passphrase tpm2" {
		t.Errorf("an encrypted pool that stays is %+v, with %v", p, same.Steps)
	}
	refused(t, "an encrypted pool without luks", form(layout.Form{Layout: layout.FreeSpace}),
		"to keep it, give it luks", marked)
	begun := with(layout.Encrypted, layout.BootLabel, gib)
	begun.Partitions[2].Unfinished = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	again := planned(t, of(esp, boot, stays), begun)
	if p := again.Disks[0].After[2]; p.Fate != Emptied || p.Inside != "btrfs" {
		t.Errorf("an encrypted pool that was not finished is %+v", p)
	}
	refused(t, "a pool is not encrypted", of(esp, boot, crypt), "the layout says crypto_LUKS",
		with("btrfs", layout.BootLabel, gib))
	refused(t, "a pool is encrypted", form(layout.Form{Layout: layout.FreeSpace}), "the layout says btrfs",
		with(layout.Encrypted, layout.BootLabel, gib))
	share := boot
	share.Size = layout.Size{Percent: 2}
	refused(t, "a small share", of(esp, share, crypt), "needs 537 MB", blank(20*gib, 512))
}
