package main

import (
	"strings"
	"testing"
	"testing/fstest"

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

func TestModaliases(t *testing.T) {
	const net, disk = "pci:v00008086d000010D3sv*bc02sc00i00", "pci:v00008086d00002922svbc01sc06i01"
	sys := fstest.MapFS{
		"devices/pci0000:00/0000:00:1f.2/modalias": {Data: []byte(disk + "\n")},
		"devices/pci0000:00/0000:00:02.0/modalias": {Data: []byte(net + "\n")},
		"devices/pci0000:00/0000:00:03.0/modalias": {Data: []byte(net + "\n")},
		"devices/system/cpu/modalias": {Data: []byte(
			"cpu:type:x86,ven0000fam0006mod0000:feature:,0000\n")},
		"devices/platform/empty/modalias": {Data: []byte("\n")},
		"devices/platform/empty/uevent":   {Data: []byte("MODALIAS=platform:no\n")},
	}
	got := networkFirst(modaliases(sys))
	want := []string{net, disk, "cpu:type:x86,ven0000fam0006mod0000:feature:,0000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("aliases (-want +got):\n%s", diff)
	}
}

func TestParseUevent(t *testing.T) {
	for _, c := range []struct{ in, action, alias string }{
		{"add@/devices/x\x00ACTION=add\x00DEVPATH=/devices/x\x00MODALIAS=usb:v0B95p7720\x00SEQNUM=7\x00",
			"add", "usb:v0B95p7720"},
		{"remove@/devices/x\x00ACTION=remove\x00", "remove", ""},
		{"libudev\x00\xfe\xed", "", ""},
		{"", "", ""},
	} {
		if action, alias := parseUevent([]byte(c.in)); action != c.action || alias != c.alias {
			t.Errorf("parseUevent(%q) = %q, %q, want %q, %q", c.in, action, alias, c.action, c.alias)
		}
	}
}
