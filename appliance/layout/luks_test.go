package layout

import (
	"slices"
	"strings"
	"testing"
)

// TestLUKS has what can be encrypted, and what is wrong otherwise.
func TestLUKS(t *testing.T) {
	t.Parallel()
	by := func(unlock ...string) *LUKS { return &LUKS{Unlock: unlock} }
	const srv = "disks[0].partitions[3].luks"
	for name, c := range map[string]struct {
		change func(p []Partition)
		want   string
	}{
		"passphrase": {func(p []Partition) { p[3].LUKS = by(Passphrase) }, ""},
		"both":       {func(p []Partition) { p[3].LUKS = by(Passphrase, TPM2) }, ""},
		"swap": {func(p []Partition) {
			p[3] = Partition{ID: "swap", Use: Swap, Size: Size{Bytes: 1 << 30}, LUKS: by(Passphrase)}
		}, ""},
		"pool": {func(p []Partition) { p[2].LUKS = by(Passphrase) }, "disks[0].partitions[2].luks: an encrypted pool " +
			"needs a partition with use: boot, because GRUB cannot open the pool; add {id: boot, use: boot}"},
		"esp": {func(p []Partition) { p[1].LUKS = by(Passphrase) },
			"disks[0].partitions[1].luks: only partitions with use: pool, data, home or swap are encrypted; " +
				"leave it out"},
		"shrunk": {func(p []Partition) { p[0].LUKS = by(Passphrase) },
			"disks[0].partitions[0].luks: a partition that is shrunk keeps what it is; leave it out\n" +
				"disks[0].partitions[0].luks: only partitions with use: pool, data, home or swap are encrypted; " +
				"leave it out"},
		"by nothing": {func(p []Partition) { p[3].LUKS = by() }, srv + ".unlock: it does not say what opens the " +
			"partition; write unlock: [passphrase], [recovery, tpm2] or so"},
		"by the TPM alone": {func(p []Partition) { p[3].LUKS = by(TPM2) }, srv + ".unlock: without a passphrase or a " +
			"recovery key, everything is lost when the TPM or the board is; add passphrase or recovery"},
		"twice": {func(p []Partition) { p[3].LUKS = by(Passphrase, Passphrase) }, srv + ".unlock: passphrase is in " +
			"the list twice"},
		"recovery":          {func(p []Partition) { p[3].LUKS = by(Recovery) }, ""},
		"recovery and TPM":  {func(p []Partition) { p[3].LUKS = by(Recovery, TPM2) }, ""},
		"all, in any order": {func(p []Partition) { p[3].LUKS = by(TPM2, Recovery, Passphrase) }, ""},
		"recovery key, twice": {func(p []Partition) { p[3].LUKS = by(Recovery, Recovery) }, srv + ".unlock: " +
			"recovery is in the list twice"},
		"other": {func(p []Partition) { p[3].LUKS = by(Passphrase, "fido2") }, srv + `.unlock: "fido2" is not ` +
			"passphrase, recovery or tpm2"},
	} {
		d := good()
		c.change(d.Disks[0].Partitions)
		var got string
		if all := d.Check(); len(all) > 0 {
			got = all.Error()
		}
		if got != c.want {
			t.Errorf("%s: Check = %s\nwant %s", name, got, c.want)
		}
		recovers := slices.ContainsFunc(d.Disks[0].Partitions, func(p Partition) bool {
			return p.LUKS != nil && slices.Contains(p.LUKS.Unlock, Recovery)
		})
		if d.Recovers() != recovers {
			t.Errorf("%s: Recovers = %v, want %v", name, d.Recovers(), recovers)
		}
		if !d.Encrypts() || good().Encrypts() {
			t.Errorf("%s: Encrypts = %v, and without luks %v", name, d.Encrypts(), good().Encrypts())
		}
	}
	d := good()
	d.Disks[0].Partitions[3].LUKS = by(Passphrase, TPM2)
	if got := d.String(); !strings.Contains(got, "srv (data), 20%, ext4 srv, at /srv, encrypted, opened by "+
		"passphrase or tpm2, made where it does not exist") {
		t.Errorf("String = %s", got)
	}
}
