// Package grubtest starts a machine by GRUB without a virtual machine: Debian's grub-emu has the same sources as GRUB,
// reads partition tables, FAT and btrfs, and really writes them. It starts no kernel: the test learns which one it
// would have started.
//
// Call Boot with the folder of an EFI system partition and the device of a pool, or Disk and Start for more. A Machine
// has another firmware, or another partition with GRUB's files.
package grubtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// Started is what GRUB did.
type Started struct {
	Root   string   // that was started, without "@roots/"; "" for none, and for a flat filesystem
	Kernel string   // path of the kernel, from the top of its filesystem; "" if none was started
	Initrd string   // of the initrd; "" for none
	Args   []string // of the kernel
	Other  string   // what was started instead, as "hd0,gpt1 /EFI/x/y.efi": the device in $root, and the file
	First  string   // the disk that a BIOS was given as its first one; "" if none was
	Screen string   // the lines that GRUB wrote
}

// Try reports whether the root was started as a candidate.
func (s Started) Try() bool { return slices.Contains(s.Args, "griddle.try") }

// Degraded reports whether the kernel was asked to mount a mirror without one of its disks.
func (s Started) Degraded() bool {
	return slices.ContainsFunc(s.Args, func(a string) bool { return strings.HasPrefix(a, "rootflags=degraded,") })
}

// Broken is in the path of kernels that cannot be loaded, as if their files had been cut.
const Broken = "broken"

// prelude is what grub-emu runs first. It has no linux and no initrd of its own.
const prelude = `
function linux {
	if regexp '` + Broken + `' "$1"; then
		echo "error: premature end of file $1."
		false
	else
		echo "kernel <$1>"
		shift
		for a in "$@"; do echo "argument <$a>"; done
	fi
}
function initrd {
	echo "initrd <$1>"
	halt
}
function chainloader {
	if regexp '` + Broken + `' "$1"; then
		false
	else
		echo "other <$root $1>"
		halt
	fi
}
function drivemap {
	echo "first <$3>"
}
`

// Machine is how GRUB is started. The zero value is what Start takes.
type Machine struct {
	Platform string // "pc" for a BIOS, "efi" for UEFI; "" for what grub-emu calls itself
	ESP      string // the partition that GRUB was started from; "" means "hd0,gpt2"
	Script   string // what GRUB runs; "" means grub.cfg of that partition
}

// script is what grub-emu runs.
func (m Machine) script() string {
	s := prelude
	if m.Platform != "" {
		s += "set grub_platform=" + m.Platform + "\n"
	}
	esp := cmp.Or(m.ESP, "hd0,gpt2")
	s += fmt.Sprintf("set root=%[1]s\nset prefix=(%[1]s)/griddle\n", esp)
	return s + cmp.Or(m.Script, "configfile $prefix/grub.cfg\n") + "halt\n"
}

// limit is how long grub-emu may take on a machine that does much else.
const limit = 2 * time.Minute

// theEnd comes after all that grub-emu wrote.
const theEnd = "\x00the end of grub-emu"

// Start has GRUB start from the second partition of the first disk, by the entry that is chosen if no one presses a
// key. The disks are files or devices.
func Start(t testing.TB, disks ...string) Started {
	t.Helper()
	return Machine{}.Start(t, disks...)
}

// Start is the function Start for this machine.
func (m Machine) Start(t testing.TB, disks ...string) Started {
	t.Helper()
	dir := t.TempDir()
	devices := ""
	for i, d := range disks {
		devices += fmt.Sprintf("(hd%d) %s\n", i, d)
	}
	for name, text := range map[string]string{"grub.cfg": m.script(), "device.map": devices} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "grub-emu", "-m", filepath.Join(dir, "device.map"), "-d", dir)
	cmd.Env = append(os.Environ(), "TERM=vt100", "LC_ALL=C")
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	defer terminal.Close()
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 50, Cols: 250}); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting grub-emu (Debian package grub-emu, run make deps): %v", err)
	}
	late := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer late.Stop()
	// Enter starts the entry that is chosen without the time that a person has; the second one is for a submenu.
	fmt.Fprint(screen, "\r\r")
	// The terminal stays open until all is read: what a program wrote last can be lost when it closes the last end.
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		fmt.Fprint(terminal, theEnd)
		ended <- err
	}()
	var out bytes.Buffer
	killed := false
	for b := make([]byte, 4096); !bytes.HasSuffix(out.Bytes(), []byte(theEnd)); {
		n, err := screen.Read(b)
		if err != nil {
			t.Fatalf("reading what grub-emu writes: %v:\n%s", err, parse(out.String()).Screen)
		}
		out.Write(b[:n])
		// Where nothing starts, GRUB lets a person read that for a minute.
		if !killed && bytes.Contains(out.Bytes(), []byte("griddle: no root of the pool starts")) {
			killed = cmd.Process.Kill() == nil
		}
	}
	if err := <-ended; err != nil && !killed {
		t.Fatalf("grub-emu: %v:\n%s", err, parse(out.String()).Screen)
	}
	return parse(strings.TrimSuffix(out.String(), theEnd))
}

var (
	sequence = regexp.MustCompile(`\x1b(\[[0-9;?]*[a-zA-Z]|[()][A-Z0-9]|.)`) // moves the cursor or sets a colour
	blank    = regexp.MustCompile(`\s*\n[\s┃]*`)
	line     = regexp.MustCompile(`(?m)^(kernel|argument|initrd|other|first) <([^>]*)>$`) // of the prelude
)

// parse reads what GRUB wrote.
func parse(out string) Started {
	s := Started{Screen: blank.ReplaceAllString(sequence.ReplaceAllString(out, "\n"), "\n")}
	for _, m := range line.FindAllStringSubmatch(s.Screen, -1) {
		what, value := m[1], m[2]
		if what == "kernel" && s.Kernel != "" {
			break // it took the first one for started
		}
		_, path, _ := strings.Cut(value, ")")
		root, isRoot := strings.CutPrefix(strings.Replace(value, "=degraded,", "=", 1), "rootflags=subvol=@roots/")
		switch {
		case what == "kernel":
			s.Kernel = path
		case what == "initrd":
			s.Initrd = path
		case what == "other":
			s.Other = value
		case what == "first":
			s.First = value
		case isRoot:
			s.Root = root
			fallthrough
		default:
			s.Args = append(s.Args, value)
		}
	}
	return s
}

// Boot is Start for a pool on a device, the one of a file too, and its EFI system partition as a folder. What GRUB
// writes there is in the folder afterwards. All of the pool must be synced.
func Boot(t testing.TB, esp, pool string) Started {
	t.Helper()
	// What the kernel writes to a loop device is in the file; what it reads may be older.
	loop := filepath.Join("/sys/class/block", filepath.Base(pool), "loop/backing_file")
	if file, err := os.ReadFile(loop); err == nil {
		pool = strings.TrimSpace(string(file))
	}
	d := Disk(t, esp, "32")
	s := Start(t, d, pool)
	for _, name := range []string{"grubenv", "grubenv2"} {
		if _, err := os.Stat(filepath.Join(esp, "griddle", name)); err == nil {
			tool(t, "mcopy", "-o", "-n", "-i", Partition(d), "::/griddle/"+name, filepath.Join(esp, "griddle", name))
		}
	}
	return s
}

const (
	espAt   = 1 << 20
	espSize = 40 << 20
)

// Disk is the image of a disk whose second partition, the only one, is an EFI system partition with the files below a
// folder. fat is "12", "16" or "32".
func Disk(t testing.TB, files, fat string) string {
	t.Helper()
	perCluster, ok := map[string]string{"12": "64", "16": "8", "32": "1"}[fat]
	if !ok {
		t.Fatalf("there is no FAT%s", fat)
	}
	disk, part := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "esp")
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, espAt+espSize+1<<20),
		os.WriteFile(part, nil, 0o600), os.Truncate(part, espSize)); err != nil {
		t.Fatal(err)
	}
	table := exec.Command("sfdisk", "--quiet", disk)
	table.Stdin = strings.NewReader("label: gpt\n2 : start=1MiB, size=40MiB, type=U\n")
	if out, err := table.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk (Debian package fdisk, run make deps): %v: %s", err, out)
	}
	tool(t, "mkfs.vfat", "-F", fat, "-s", perCluster, part)
	entries, err := os.ReadDir(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		tool(t, "mcopy", "-s", "-i", part, filepath.Join(files, e.Name()), "::/")
	}
	tool(t, "dd", "if="+part, "of="+disk, "bs=1M", "seek=1", "conv=notrunc,sparse")
	return disk
}

// Partition is what mtools take for the EFI system partition of Disk.
func Partition(disk string) string { return fmt.Sprintf("%s@@%d", disk, espAt) }

func tool(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s (run make deps): %v: %s", name, strings.Join(args, " "), err, out)
	}
}
