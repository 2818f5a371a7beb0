//go:build e2e

package full

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/initramfs/pool/pooltest"
)

// beside is a layout that shrinks the last filesystem of a disk.
const beside = `version: 1
disks:
  - id: main
    match: {size: largest}
    partitions:
      - {id: windows, match: {label: Windows, filesystem: ntfs}, shrink: {by: 2500M}}
      - {id: esp, use: esp%s}
      - {id: pool, use: pool, size: rest}
`

// TestBesideWindows installs beside the NTFS of a Windows that fills the disk: with a GPT on UEFI, where the EFI system
// partition is shared, and with an MBR on a BIOS. The files in the NTFS are the same, and so is every byte of the other
// partitions but the shared one. Then the machine starts what was installed, and from GRUB's menu the other loader of
// the disk. In the end it gets that back, and starts by it alone.
func TestBesideWindows(t *testing.T) {
	e2etest.Passes(t)
	s := open(t, e2e.Proxy)
	onFirmwares(t, func(t *testing.T, f e2e.Firmware) { s.besideWindows(t, f) })
}

func (s *suite) besideWindows(t *testing.T, f e2e.Firmware) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	file, err := s.room.MakeDisk("windows-"+string(f), 6<<30)
	if err != nil {
		t.Fatal(err)
	}
	shared, kept := windowsOn(t, f, file)
	before := kept()
	m, err := s.room.Machine(ctx, e2e.Hardware{Name: "windows-" + string(f), Firmware: f,
		Disks: []e2e.Disk{{File: file, Serial: "W" + string(f)}}})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(beside, "")
	if shared {
		text = fmt.Sprintf(beside, ", keep: true")
	}
	layout, hash := s.planned(ctx, t, m, text)
	if err := s.site.Install(ctx, m, s.image, "--layout", layout, "--plan", hash, "--hostname", m.Name); err != nil {
		t.Fatal(err)
	}
	on(ctx, t, m)
	defer m.PowerCut()
	if _, err := s.site.WaitJournal(ctx, m, "its report from the installed system", func(e fleet.Entry) bool {
		return e2e.Deployed(e)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WaitLogin(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m.Login(ctx); err != nil {
		t.Fatal(err)
	}
	root := "/@roots/" + strings.Replace(s.image, ":", "-", 1)
	if got := e2etest.Shell(m.Run).Ask(ctx, t,
		"findmnt -no FSROOT /; systemctl --failed --plain --no-legend; sync"); got !=
		root {
		t.Errorf("%s runs %q, want %s without failed units", m.Name, got, root)
	}
	m.PowerCut()
	startsOther(ctx, t, m)
	givesBack(ctx, t, m)
	if after := kept(); after != before {
		t.Errorf("beside the system the disk has\n%s\nit had\n%s", after, before)
	}
	e2etest.CheckJournal(t, s.site, m)
}

// planHash finds the hash in the plans that `griddle machine plan -o json` prints.
func planHash(t *testing.T, out string) string {
	t.Helper()
	var plans struct{ Hash string }
	if err := json.Unmarshal([]byte(out), &plans); err != nil || plans.Hash == "" {
		t.Fatalf("the plan has no hash: %v: %s", err, out)
	}
	return plans.Hash
}

// windowsOn divides a disk as Windows does for a firmware. kept is what has to stay: the files in the NTFS, and the
// bytes of the partitions that nobody shares.
func windowsOn(t *testing.T, f e2e.Firmware, file string) (shared bool, kept func() string) {
	t.Helper()
	ntfs, same := 3, []int{2, 4}
	script := "label: gpt\n,100M,C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n,16M,E3C9E316-0B5C-4DB8-817D-F92DF00215AE\n" +
		",5900M,EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\n,64M,DE94BBA4-06D1-4D40-A16A-BFD50179D6AC\n"
	if f == e2e.BIOS {
		ntfs, same = 2, []int{1}
		script = "label: dos\n,100M,7,*\n,5900M,7\n"
	}
	cmd := exec.Command("sfdisk", "--quiet", file)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	with := func(do func(part func(n int) string)) {
		dev := pooltest.Tool(t, "losetup", "--find", "--show", "--partscan", file)
		defer pooltest.Tool(t, "losetup", "-d", dev)
		defer exec.Command("partx", "-d", dev).Run()
		pooltest.Tool(t, "partx", "-u", dev)
		do(func(n int) string { return fmt.Sprintf("%sp%d", dev, n) })
	}
	with(func(part func(n int) string) {
		if f == e2e.UEFI {
			pooltest.Tool(t, "mkfs.vfat", "-F", "32", "-s", "1", part(1))
		}
		plantLoader(t, f, file, part(1))
		for _, n := range same {
			random(t, part(n), 8<<20)
		}
		pooltest.Tool(t, "mkntfs", "-q", "-Q", "-F", "-L", "Windows", part(ntfs))
		mounted(t, part(ntfs), "", func(dir string) {
			for n := range 40 {
				name := filepath.Join(dir, fmt.Sprintf("Photographs/%d/picture.jpg", n))
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				random(t, name, int64(n)<<16)
			}
		})
	})
	return f == e2e.UEFI, func() (out string) {
		with(func(part func(n int) string) {
			for _, n := range same {
				out += fmt.Sprintf("partition %d: %s\n", n, e2etest.Hash(t, part(n)))
			}
			mounted(t, part(ntfs), "ro", func(dir string) {
				err := fs.WalkDir(os.DirFS(dir), "Photographs", func(name string, e fs.DirEntry, err error) error {
					if err == nil && e.Type().IsRegular() {
						out += name + ": " + e2etest.Hash(t, filepath.Join(dir, name)) + "\n"
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		})
		return out
	}
}

// mounted mounts an NTFS while do runs.
func mounted(t *testing.T, device, options string, do func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	args := []string{device, dir}
	if options != "" {
		args = []string{"-o", options, device, dir}
	}
	pooltest.Tool(t, "ntfs-3g", args...)
	do(dir)
	const patience = 1200 // tenths of a second: a busy computer
	for range patience {  // the program of the filesystem ends a moment later
		if exec.Command("umount", dir).Run() == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for range patience {
		if f, err := os.OpenFile(device, os.O_RDONLY|os.O_EXCL, 0); err == nil {
			f.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s is still in use", device)
}

// random writes n bytes to a file.
func random(t *testing.T, name string, n int64) {
	t.Helper()
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(out, rand.NewChaCha8([32]byte{byte(n), byte(n >> 16)}), n)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
