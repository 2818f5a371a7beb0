package plan

import (
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// encrypted is a partition for data that is encrypted.
func encrypted() layout.Partition {
	return layout.Partition{ID: "data", Use: layout.Data, Mount: "/srv", Size: size(4 * gib),
		LUKS: &layout.LUKS{Unlock: []string{layout.Passphrase, layout.TPM2}}}
}

// TestLUKS makes an encrypted partition, keeps one, and tells it from one that is not.
func TestLUKS(t *testing.T) {
	p := planned(t, of(esp, pool, encrypted()), blank(20*gib, 512))
	var did []Verb
	for _, s := range p.Steps {
		if s.Number == 3 {
			did = append(did, s.Do)
		}
		if s.Do == MakeFilesystem && s.Number == 3 && (s.If.Filesystem != layout.Encrypted || s.If.Cleared ||
			s.Filesystem != "ext4" || s.Unlock != "passphrase tpm2") {
			t.Errorf("the filesystem within is made by %+v", s)
		}
	}
	if len(did) != 4 || did[1] != Clear || did[2] != Encrypt || did[3] != MakeFilesystem {
		t.Errorf("the steps are %v", did)
	}
	last := p.Disks[0].After[2]
	if last.Filesystem != layout.Encrypted || last.Inside != "ext4" || last.Label != "data" || last.Mount != "/srv" ||
		!p.Unlocks(layout.TPM2) || p.Unlocks(layout.Recovery) || !p.Encrypts() ||
		planned(t, of(esp, pool), blank(20*gib, 512)).Unlocks(layout.TPM2) {
		t.Errorf("the partition will be %+v", last)
	}
	if err := p.Verify(); err != nil {
		t.Error(err)
	}
	recoverable := encrypted()
	recoverable.LUKS = &layout.LUKS{Unlock: []string{layout.Recovery}}
	if p := planned(t, of(esp, pool, recoverable), blank(20*gib, 512)); !p.Unlocks(layout.Recovery) || !p.Encrypts() ||
		p.Unlocks(layout.Passphrase) || planned(t, of(esp, pool), blank(20*gib, 512)).Encrypts() {
		t.Errorf("with a recovery key alone, the plan is %+v", p)
	}

	// What there is, is kept if it is encrypted.
	with := func(filesystem string) job.Disk {
		d := windows()
		d.Partitions = append(d.Partitions[:2:2], job.Partition{Number: 5, Start: gib, Size: 4 * gib,
			Type: "Linux filesystem", Name: "data", Filesystem: filesystem, Label: "data", UUID: jobID})
		return d
	}
	kept := planned(t, of(esp, pool, encrypted()), with(layout.Encrypted))
	for _, part := range kept.Disks[0].After {
		if part.Number == 5 && (part.Fate != Stays || part.Unlock != "passphrase tpm2" || part.UUID != jobID) {
			t.Errorf("the partition of today is %+v", part)
		}
	}
	plain := encrypted()
	plain.LUKS = nil
	refused(t, "it is not encrypted", of(esp, pool, encrypted()), "the layout says crypto_LUKS", with("ext4"))
	refused(t, "it is encrypted", of(esp, pool, plain), "the layout says ext4", with(layout.Encrypted))

	// It is emptied where the layout says so.
	wipe := encrypted()
	wipe.Wipe = true
	for _, part := range planned(t, of(esp, pool, wipe), with("ext4")).Disks[0].After {
		if part.Number == 5 && (part.Fate != Emptied || part.Filesystem != layout.Encrypted || part.Inside != "ext4") {
			t.Errorf("the emptied partition is %+v", part)
		}
	}
	tiny := encrypted()
	tiny.Size = size(31 * mib)
	refused(t, "without room for the header", of(esp, pool, tiny), "needs 33.6 MB", blank(20*gib, 512))
}
