package kmod

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testAliases = `# Aliases extracted from modules themselves.
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000001v* virtio_net
alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias scsi:t-0x00* sd_mod
alias crypto-crc32c crc32c_generic
alias crypto-crc32c crc32c_intel
alias pci:v0000[broken
alias fs-vfat vfat
`

func testTables(t *testing.T) *aliases {
	t.Helper()
	a, err := parseAliases(strings.NewReader(testAliases),
		strings.NewReader("softdep btrfs pre: blake2b-256 xxhash64 post: after\nsoftdep cifs gcm\nsoftdep x\n"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAliases(t *testing.T) {
	a := testTables(t)
	for _, c := range []struct{ alias, want string }{
		{"pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00", "e1000e"},
		{"pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00", "virtio_pci"},
		{"pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", "ahci"},
		{"virtio:d00000001v00001AF4", "virtio_net"},
		{"scsi:t-0x00", "sd_mod"},
		{"crypto-crc32c", "crc32c_generic crc32c_intel"},
		{"fs-vfat", "vfat"},
		{"fs-btrfs", ""},
		{"", ""},
	} {
		if got := strings.Join(a.modules(c.alias), " "); got != c.want {
			t.Errorf("modules(%q) = %q, want %q", c.alias, got, c.want)
		}
	}
	if diff := cmp.Diff(map[string][]string{"btrfs": {"blake2b-256", "xxhash64"}, "cifs": {"gcm"}},
		a.soft); diff != "" {
		t.Errorf("soft dependencies (-want +got):\n%s", diff)
	}
}

func FuzzAliases(f *testing.F) {
	f.Add(testAliases, "softdep a pre: b\n", "virtio:d00000001v00001AF4")
	f.Fuzz(func(t *testing.T, alias, softdep, name string) {
		a, err := parseAliases(strings.NewReader(alias), strings.NewReader(softdep))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, m := range a.modules(name) {
			if seen[m] && len(a.exact[name]) == 0 {
				t.Fatalf("module %q twice", m)
			}
			seen[m] = true
		}
	})
}
