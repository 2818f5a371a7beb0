package initramfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const (
	testDep = `kernel/fs/btrfs/btrfs.ko: kernel/lib/libcrc32c.ko kernel/crypto/xor.ko
kernel/lib/libcrc32c.ko:
kernel/crypto/xor.ko:
kernel/crypto/crc32c_generic.ko:
kernel/crypto/blake2b_generic.ko:
kernel/drivers/net/ethernet/intel/igb/igb.ko: kernel/drivers/i2c/algos/i2c-algo-bit.ko kernel/drivers/dca/dca.ko
kernel/drivers/i2c/algos/i2c-algo-bit.ko:
kernel/drivers/dca/dca.ko:
kernel/drivers/net/ethernet/netronome/nfp/nfp.ko: kernel/net/tls/tls.ko
kernel/net/tls/tls.ko:
kernel/drivers/scsi/ch.ko:
kernel/drivers/scsi/chelsio.ko:
`
	testSoft = `# Soft dependencies extracted from modules themselves.
softdep btrfs pre: blake2b-256
softdep libcrc32c pre: crc32c
softdep igb post: nothing-here
`
	testAlias = `# Aliases extracted from modules themselves.
alias fs-btrfs btrfs
alias crc32c crc32c_generic
alias blake2b-256 blake2b_generic
alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb
alias pci:v000019EEd*sv*sd*bc*sc*i* nfp
`
)

func testTree(t *testing.T) *Tree {
	t.Helper()
	tree, err := ParseTree(strings.NewReader(testDep), strings.NewReader(testSoft), strings.NewReader(testAlias))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		name   string
		choice Choice
		want   string
	}{
		{"links, and links' soft ones by alias", Choice{Take: []string{"kernel/fs/btrfs/"}},
			"blake2b_generic crc32c_generic xor btrfs libcrc32c"},
		{"left out below a folder", Choice{Take: []string{"kernel/drivers/net/ethernet/"},
			Leave: []string{"kernel/drivers/net/ethernet/netronome/"}},
			"dca i2c_algo_bit igb"},
		{"one file and not its namesakes",
			Choice{Take: []string{"kernel/drivers/scsi/"}, Leave: []string{"kernel/drivers/scsi/ch"}}, "chelsio"},
		{"left out but needed",
			Choice{Take: []string{"kernel/drivers/net/ethernet/intel/"}, Leave: []string{"kernel/drivers/dca/"}},
			"dca i2c_algo_bit igb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			paths, err := testTree(t).Select(c.choice)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range paths {
				names = append(names, ModuleName(p))
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("Select = %s, want %s", got, c.want)
			}
			if !slices.IsSorted(paths) {
				t.Errorf("Select = %v, not sorted", paths)
			}
		})
	}
}

func TestSelectNothing(t *testing.T) {
	_, err := testTree(t).Select(Choice{Take: []string{"kernel/fs/btrfs/", "kernel/fs/ext9/"}})
	if err == nil || !strings.Contains(err.Error(), "ext9") {
		t.Errorf("Select = %v, want an error that names the pattern", err)
	}
	paths, err := testTree(t).Select(Choice{Take: []string{"kernel/crypto/xor", "kernel/fs/ext9/"}, Lenient: true})
	if err != nil || len(paths) != 1 {
		t.Errorf("Select, lenient = %v, %v, want one module", paths, err)
	}
}

func TestParseTreeMistakes(t *testing.T) {
	for _, c := range []struct{ name, dep, soft, alias string }{
		{"dep", "no colon\n", "", ""},
		{"softdep", "", "softdep x\n", ""},
		{"alias", "", "", "alias x\n"},
	} {
		if _, err := ParseTree(strings.NewReader(c.dep), strings.NewReader(c.soft),
			strings.NewReader(c.alias)); err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
}

func TestKeep(t *testing.T) {
	got, err := Keep(strings.NewReader(testAlias),
		[]string{"kernel/fs/btrfs/btrfs.ko", "kernel/drivers/net/ethernet/intel/igb/igb.ko"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "alias fs-btrfs btrfs\nalias pci:v00008086d000010C9sv*sd*bc*sc*i* igb\n"; got != want {
		t.Errorf("Keep = %q, want %q", got, want)
	}
}

func TestFirmware(t *testing.T) {
	have := fstest.MapFS{
		"bnx2/mips-06.fw":                {Data: []byte("x")},
		"intel/ice/ddp/ice.pkg":          {Data: []byte("ice-1.3.pkg"), Mode: 0o777 | fs.ModeSymlink},
		"intel/ice/ddp/ice-1.3.pkg":      {Data: []byte("x")},
		"cxgb4/t5fw-1.0.bin":             {Data: []byte("x")},
		"cxgb4/t6fw-1.0.bin":             {Data: []byte("x")},
		"iwlwifi-9000-pu-b0-jf-b0-3.bin": {Data: []byte("x")},
	}
	got, err := Firmware(have, []string{"bnx2/mips-06.fw", "intel/ice/ddp/ice.pkg", "cxgb4/t?fw-*.bin", "absent.bin"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bnx2/mips-06.fw", "cxgb4/t5fw-1.0.bin", "cxgb4/t6fw-1.0.bin", "intel/ice/ddp/ice-1.3.pkg",
		"intel/ice/ddp/ice.pkg"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Firmware (-want +got):\n%s", diff)
	}
	const old, newer = "bnx2x/bnx2x-e2-7.13.15.0.fw", "bnx2x/bnx2x-e2-7.13.21.0.fw"
	have[old] = &fstest.MapFile{Data: []byte("x")}
	if got, err := Firmware(have, []string{old, newer}); err != nil || !slices.Equal(got, []string{old}) {
		t.Errorf("Firmware = %v, %v, want the one that is there", got, err)
	}
	have[newer] = &fstest.MapFile{Data: []byte("x")}
	if got, err := Firmware(have, []string{old, newer}); err != nil || !slices.Equal(got, []string{newer}) {
		t.Errorf("Firmware = %v, %v, want the newer one alone", got, err)
	}
	dir := t.TempDir()
	if err := os.Symlink("circle", filepath.Join(dir, "circle")); err != nil {
		t.Fatal(err)
	}
	if got, err := Firmware(os.DirFS(dir).(fs.ReadLinkFS), []string{"circle"}); err != nil || len(got) != 0 {
		t.Errorf("a link to itself = %v, %v; want nothing", got, err)
	}
}
