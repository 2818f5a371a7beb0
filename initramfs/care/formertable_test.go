package care

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/entries"
)

// The commands of the document give a disk its table of before.
func TestFormerTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/MAINTENANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	b, dir := machine(t), t.TempDir()
	dev := disktest.Loop(t, 64<<20, 512)
	t.Cleanup(func() { exec.Command("partx", "-d", dev).Run() })
	sfdisk := func(script string) {
		t.Helper()
		cmd := exec.Command("sfdisk", "--quiet", "--wipe", "never", dev)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sfdisk (run make deps): %v: %s", err, out)
		}
	}
	sfdisk("label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\nstart=2048, size=65536\n")
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := entries.Save(f, 64<<20, 512)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := json.Marshal(job.SavedTable{Version: 1, Job: "j", Size: 64 << 20, SectorSize: 512, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	sfdisk("label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\nstart=2048, size=32768\n" +
		"5 : start=40960, size=2048\n6 : start=43008, size=2048\n")
	t.Chdir(dir)
	b.Tables = []string{dir, filepath.Join(dir, "missing")}
	run := func(line, typed string, code int, want string) {
		t.Helper()
		if got, out := b.run(t, line, typed); got != code || !strings.Contains(out, want) {
			t.Errorf("%s < %q = %d, want %d and %q:\n%s", line, typed, got, code, want, out)
		}
	}
	run("recover former-table --disk "+dev+" --lose 5,6", "", 1, "there is none on this machine")
	for _, name := range []string{"table.json", "table-1.json"} {
		if err := os.WriteFile(name, saved, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("recover former-table", "", 2, "needs --disk DISK")
	run("recover former-table --disk "+dev+" --lose x", "", 2, "numbers of partitions")
	run("recover former-table missing.json --disk "+dev, "", 1, "griddle machine tables")
	run("recover former-table --disk "+dev, "", 1, "give it up with --lose 5,6")
	run("recover former-table --disk "+dev+" --lose 5,6", "no\n", 1, "not its name: nothing was changed")
	var lines []string
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "griddle-agent recover former-table "); ok {
			lines = append(lines, strings.ReplaceAll(strings.TrimSpace(command), "/dev/sda", dev))
		}
	}
	if len(lines) != 2 {
		t.Fatalf("the document has %q", lines)
	}
	run("recover former-table "+lines[0], dev+"\n", 0, "has the partition table of before.")
	run("recover former-table "+lines[1], "", 0, "Nothing to do")
	if now, err := entries.Save(f, 64<<20, 512); err != nil || string(now) != string(table) {
		t.Errorf("the table is not that of before: %v", err)
	}
}
