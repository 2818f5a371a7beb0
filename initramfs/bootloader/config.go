package bootloader

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/bootloader/bootenv"
)

// Roots is the folder of the roots, from the top of the pool.
const Roots = "@roots"

// Marker is the file in a root that proved itself. If grubenv is lost, GRUB starts the root whose marker was written
// last.
const Marker = ".griddle-good"

// Try is the kernel argument of a root that GRUB starts as a candidate: it has to prove itself.
const Try = "griddle.try"

// BaseMarker is the file in a root that is a base: only fresh roots of it start for people. It has how much of the
// machine is fresh at each start, for package reset.
const BaseMarker = ".griddle-base"

// ResetTarget is the unit that a base starts instead of its system: it makes fresh roots, and restarts the machine.
const ResetTarget = "griddle-reset.target"

// Config is what grub.cfg says about one installed system.
type Config struct {
	ESP    string // label of the EFI system partition: 11 capital letters, digits and dashes; "" for a shared one
	ESPID  string // UUID of the filesystem of an EFI system partition that is shared with others: "7A3C-11F0"
	PoolID string // UUID of the filesystem, lower case with dashes
	Root   string // path of the root that starts if grubenv and all markers are lost: "@roots/web-20261120.1"
	// Own are the roots that are filesystems of their own, ext4 or xfs; nil if they are subvolumes of the pool. Then
	// PoolID is that of the filesystem that they share, and Root is one of them.
	Own   []OwnRoot
	Flat  bool   // the filesystem itself is the root, btrfs or ext4, and Root is empty
	Title string // of the menu entry of a flat filesystem; "" means "Debian". A pool's have the names of its roots
	// Args are further kernel arguments, one each, as job.KernelArg reads them. A root may have others of its own
	// (package arguments).
	Args []string

	// Others says that people can start the other systems of the machine from the menu: each Windows, and on UEFI each
	// system with a folder on an EFI system partition; on a BIOS what the disk started before (package former). GRUB
	// looks for them at every boot. The menu then waits for 5 seconds.
	Others bool

	// Boot says where the kernels of an encrypted pool are, and what opens it; nil for a pool that GRUB can read.
	Boot *Boot

	// Mirror are the UUIDs of the EFI system partitions of all disks of a mirror, in the same order on each; nil for a
	// pool on one disk. GRUB counts on all of them, and the pool starts with one disk alone (script/mirror.cfg).
	Mirror []string

	// Shared is set by ReadConfig for an EFI system partition that is shared: the same as any ESPID, for Render.
	// InstallESP refuses it without one.
	Shared bool

	// Old is set by ReadConfig for a file of the first format: Root is what boots, whatever grubenv says. Render
	// ignores it.
	Old bool

	// Script is set by ReadConfig: which script the file has, see the constant Script. Render ignores it.
	Script int
}

// fatID is how GRUB and blkid write the ID of a FAT filesystem.
var fatID = regexp.MustCompile(`^[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}$`)

func (c Config) validate() error {
	var errs []error
	if len(c.PoolID) != 36 || strings.Trim(c.PoolID, "0123456789abcdef-") != "" {
		errs = append(errs, fmt.Errorf("pool UUID %q is not valid", c.PoolID))
	}
	switch {
	case c.ESPID != "" && c.ESP != "":
		errs = append(errs, fmt.Errorf("a shared EFI system partition keeps its label, and %q is not it", c.ESP))
	case c.ESPID != "":
		if !fatID.MatchString(c.ESPID) {
			errs = append(errs, fmt.Errorf("%q is not the UUID of a FAT filesystem, such as 7A3C-11F0", c.ESPID))
		}
	case len(c.ESP) != len(anyESP) || strings.Trim(c.ESP, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "":
		errs = append(errs, fmt.Errorf("label %q is not 11 capital letters, digits and dashes", c.ESP))
	}
	for _, id := range c.Mirror {
		if !fatID.MatchString(id) {
			errs = append(errs, fmt.Errorf("%q is not the UUID of a FAT filesystem, such as 7A3C-11F0", id))
		}
	}
	if len(c.Mirror) == 1 || len(c.Mirror) > MaxMirror || c.Flat && c.Mirror != nil {
		errs = append(errs, fmt.Errorf("a mirror of %d disks is not possible", len(c.Mirror)))
	}
	if c.Flat && c.Root != "" {
		errs = append(errs, fmt.Errorf("a flat filesystem has no root subvolume %q", c.Root))
	}
	if name, ok := strings.CutPrefix(c.Root, Roots+"/"); !c.Flat && !ok {
		errs = append(errs, fmt.Errorf("root subvolume %q is not in %s", c.Root, Roots))
	} else if !c.Flat {
		errs = append(errs, bootenv.CheckName(name))
	}
	errs = append(errs, c.checkOwn(), c.checkBoot())
	if !c.Flat && c.Title != "" {
		errs = append(errs, fmt.Errorf("the entries of a pool have no title %q", c.Title))
	}
	if strings.IndexFunc(c.Title, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		errs = append(errs, fmt.Errorf("%q has a control character", c.Title))
	}
	return errors.Join(append(errs, job.KernelArgs(c.Args))...)
}

// quote makes s one word of GRUB's script language.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// MaxMirror is how many disks of a mirror GRUB's script knows.
const MaxMirror = 2

// header is the first line of a grub.cfg.
const header = "# Griddle's grub.cfg, format 2. The kernel is looked for at every boot.\n"

// Script is the number of the script that Render writes, in the second line of the file. It grows when the script
// learns something that updates rely on: then they write the file again where it has a smaller number, and never where
// it has a larger one, which a newer agent wrote. Number 1 takes kernel arguments from a root.
const Script = 1

// scriptLine is that line.
const scriptLine = "# Its script is number "

// sharedLine and othersLine are further lines at the top of a grub.cfg, of Config.Shared and Config.Others.
const (
	sharedLine = "# The EFI system partition is shared with other systems."
	othersLine = "# The menu has the other systems of the machine."
)

// mirrorLine begins the line of Config.Mirror.
const mirrorLine = "# The pool is a mirror. Its EFI system partitions are "

// script has the parts of grub.cfg. An uppercase word between @ and @ is filled in by Render.
//
//go:embed script
var script embed.FS

// Render returns grub.cfg. Its error names all values that GRUB or the kernel cannot accept.
func (c Config) Render() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("writing grub.cfg: %w", err)
	}
	kind := "pool"
	if c.Flat {
		kind = "flat"
	}
	out := fmt.Sprintf("%s%s%d.\n", header, scriptLine, Script)
	parts := []string{"head", "kernel", kind}
	if c.Mirror != nil {
		out += mirrorLine + strings.Join(c.Mirror, " ") + ".\n"
		parts = []string{"mirror", "head", "degraded", "kernel", kind}
	}
	if !c.Flat && c.Boot == nil { // the partition for kernels has one of each root
		parts = append(parts, "kernels")
	}
	if !c.Flat {
		parts = append(parts, "earlier")
	}
	if c.Boot != nil {
		out += c.Boot.line() + "\n"
	}
	if c.Shared || c.ESPID != "" {
		out += sharedLine + "\n"
	}
	for _, r := range c.Own {
		out += r.line() + "\n"
	}
	if c.Others {
		out += othersLine + "\n"
		parts = append(parts, "others")
	}
	for _, part := range parts {
		text, err := script.ReadFile("script/" + part + ".cfg")
		if err != nil {
			return nil, fmt.Errorf("writing grub.cfg: %w", err)
		}
		out += c.twice(string(text))
	}
	title := c.Title
	if title == "" {
		title = "Debian"
	}
	where, systems, err := c.where()
	if err != nil {
		return nil, fmt.Errorf("writing grub.cfg: %w", err)
	}
	out = strings.NewReplacer("@WHERE@", where, "@SYSTEMS@", systems).Replace(out)
	degraded := ""
	if c.Mirror != nil {
		degraded = "${griddle_degraded}"
	}
	return []byte(strings.NewReplacer(
		"@MIRROR@", strings.Join(c.Mirror, " "),
		"@DEGRADED@", degraded,
		"@TITLE@", quote(title),
		"@ROOT@", quote(strings.TrimPrefix(c.Root, Roots+"/")),
		"@POOL@", c.PoolID,
		"@SEARCHED@", c.searched(),
		"@MARKER@", Marker,
		"@BASE@", BaseMarker,
		"@RESET@", "systemd.unit="+ResetTarget,
		"@TRY@", Try,
		"@ARGS@", c.arguments(flags, try, c.operators()),
		"@OWNARGS@", c.arguments(ownFlags, try, nil),
		"@OWNFILE@", arguments.File,
	).Replace(out)), nil
}

// twice has the lines of a script that write to the other disk of a mirror, or is without them.
func (c Config) twice(text string) string {
	const mark = "@TWICE@"
	if c.Mirror != nil {
		return strings.ReplaceAll(text, mark, "twice")
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, mark) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// fixed are the arguments of every kernel, one each. The last console= is /dev/console: the screen and the serial line
// both see the boot. In a pool a panic restarts the machine, so that it counts as a try. flags and try are what is for
// one root of a pool and for one start of it.
func (c Config) fixed(flags, try string) []string {
	pool, rest := "root=UUID="+c.PoolID, []string{"rw", "console=ttyS0,115200", "console=tty0"}
	if c.Flat {
		return append([]string{pool}, rest...)
	}
	own := []string{pool, flags}
	if len(c.Own) > 0 {
		own = own[1:] // flags are root= of the root itself
	}
	if c.Boot != nil {
		own = append(own, c.Boot.arguments()...)
	}
	return append(append(own, rest...), "panic=10", "oops=panic", try)
}

// operators are the arguments that an operator gave. They come last and so win.
func (c Config) operators() []string {
	words := make([]string, len(c.Args))
	for i, a := range c.Args {
		words[i], _ = job.KernelArg(a) // validate has looked
	}
	return words
}

// flags and try are arguments of the function load in script/kernel.cfg; GRUB leaves an empty one out. ownFlags is what
// load_root in script/pool.cfg has in place of the first one.
const flags, try, ownFlags = "$1", "$2", `"$flags"`

// arguments are those of GRUB's linux command: the fixed ones, in which two words are GRUB's own, and more.
func (c Config) arguments(one, two string, more []string) string {
	words := c.fixed(one, two)
	for i, w := range words {
		if w != one && w != two {
			words[i] = quote(w)
		}
	}
	for _, w := range more {
		words = append(words, quote(w))
	}
	return strings.Join(words, " ")
}

// CommandLine is the kernel's command line as GRUB passes it on for Root, without a try: a word that has a space is in
// double quotes (GRUB 2.06 grub-core/lib/cmdline.c). GRUB's own BOOT_IMAGE= is not in it, and ESP plays no part. The
// error names all values that cannot be on it.
func (c Config) CommandLine() (string, error) {
	c.ESP, c.ESPID = anyESP, ""
	if err := c.validate(); err != nil {
		return "", fmt.Errorf("writing a kernel command line: %w", err)
	}
	var words []string
	for _, w := range append(c.fixed(c.flags(), ""), c.operators()...) {
		switch {
		case strings.Contains(w, " "):
			words = append(words, `"`+w+`"`)
		case w != "":
			words = append(words, w)
		}
	}
	return strings.Join(words, " "), nil
}
