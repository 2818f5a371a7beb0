package install

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
)

// The agent plans as the server does, which keeps 128 bytes of a label: a btrfs has up to 255.
func TestPlanOfLongLabels(t *testing.T) {
	const gib = 1 << 30
	long := strings.Repeat("ü", 127) + "x" // cut in the middle of a rune
	found := []disk.Disk{{Path: "/dev/vda", Serial: long, WWN: long, Size: 64 * gib, SectorSize: 512,
		Content: content.Content{Table: "gpt", GUID: "11111111-2222-3333-4444-555555555555", Slots: 128,
			Partitions: []content.Partition{{Number: 1, Start: 1 << 20, Size: 20 * gib, Type: "Linux filesystem",
				Name: long, UUID: "7d13f5c0-8f5e-4f0c-9e0c-0a1b2c3d4e5f",
				Signature: content.Signature{Type: "btrfs", Label: long}}}}}}
	form := layout.Form{Version: 1, Layout: "free-space", Match: job.Match{Size: job.Largest}}
	hash := func(disks []job.Disk) string {
		t.Helper()
		p, err := plan.Make(plan.Input{Layout: form.Document(), Disks: disks})
		if err != nil {
			t.Fatal(err)
		}
		return p.Hash
	}
	agent := Disks(found)
	server := job.Inventory{Disks: agent}.Bounded().Disks
	if a, s := hash(agent), hash(server); a != s {
		t.Errorf("the agent's plan is %s, and the server's %s", a, s)
	}
	if label := agent[0].Partitions[0].Label; label == "" || !strings.HasPrefix(long, label) {
		t.Errorf("the label is %q", label)
	}
}
