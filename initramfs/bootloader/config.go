package bootloader

import (
	"errors"
	"fmt"
	"strings"

	"griddle/appliance/job"
)

// Config is what grub.cfg says about one installed system.
type Config struct {
	Title  string   // of the menu entry; "" means "Debian"
	ESP    string   // label of the EFI system partition: 11 capital letters, digits and dashes
	PoolID string   // UUID of the filesystem, lower case with dashes
	Root   string   // path of the root subvolume from the top of the filesystem: "@roots/web-20261120.1"
	Flat   bool     // the filesystem itself is the root, btrfs or ext4, and Root is empty
	Args   []string // further kernel arguments, one each, as job.KernelArg reads them
}

// EnvBlock is an empty GRUB environment block (grub-core/lib/envblk.c): always 1024 bytes.
func EnvBlock() []byte {
	const head = "# GRUB Environment Block\n"
	return []byte(head + strings.Repeat("#", 1024-len(head)))
}

func (c Config) validate() error {
	var errs []error
	if len(c.PoolID) != 36 || strings.Trim(c.PoolID, "0123456789abcdef-") != "" {
		errs = append(errs, fmt.Errorf("pool UUID %q is not valid", c.PoolID))
	}
	if len(c.ESP) != len(anyESP) || strings.Trim(c.ESP, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		errs = append(errs, fmt.Errorf("label %q is not 11 capital letters, digits and dashes", c.ESP))
	}
	if c.Flat && c.Root != "" {
		errs = append(errs, fmt.Errorf("a flat filesystem has no root subvolume %q", c.Root))
	}
	if !c.Flat && c.Root == "" || strings.HasPrefix(c.Root, "/") || strings.ContainsAny(c.Root, " ,\t") {
		errs = append(errs, fmt.Errorf("root subvolume %q cannot be written on a kernel command line", c.Root))
	}
	for _, a := range []string{c.Title, c.Root} {
		if strings.IndexFunc(a, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
			errs = append(errs, fmt.Errorf("%q has a control character", a))
		}
	}
	return errors.Join(append(errs, job.KernelArgs(c.Args))...)
}

// quote makes s one word of GRUB's script language.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Render returns grub.cfg. Its error names all values that GRUB or the kernel cannot accept.
func (c Config) Render() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("writing grub.cfg: %w", err)
	}
	title := c.Title
	if title == "" {
		title = "Debian"
	}
	root := ""
	if !c.Flat {
		root = "/" + c.Root
	}
	var words []string
	for _, a := range c.words() {
		words = append(words, quote(a))
	}
	return []byte(strings.NewReplacer(
		"@TITLE@", quote(title),
		"@POOL@", c.PoolID,
		"@ROOT@", quote(root),
		"@ARGS@", strings.Join(words, " "),
	).Replace(template)), nil
}

// words are the kernel's arguments, one each. The kernel's last console= is /dev/console: the screen and the serial
// line both see the boot. An argument given by the operator comes later and so wins.
func (c Config) words() []string {
	words := []string{"root=UUID=" + c.PoolID}
	if !c.Flat {
		words = append(words, "rootflags=subvol="+c.Root)
	}
	words = append(words, "rw", "console=ttyS0,115200", "console=tty0")
	for _, a := range c.Args {
		word, _ := job.KernelArg(a) // validate has looked
		words = append(words, word)
	}
	return words
}

// CommandLine is the kernel's command line as GRUB passes it on: a word that has a space is in double quotes (GRUB 2.06
// grub-core/lib/cmdline.c). GRUB's own BOOT_IMAGE= is not in it, and ESP plays no part. The error names all values that
// cannot be on it.
func (c Config) CommandLine() (string, error) {
	c.ESP = anyESP
	if err := c.validate(); err != nil {
		return "", fmt.Errorf("writing a kernel command line: %w", err)
	}
	words := c.words()
	for i, w := range words {
		if strings.Contains(w, " ") {
			words[i] = `"` + w + `"`
		}
	}
	return strings.Join(words, " "), nil
}

// template is grub.cfg. In GRUB's language A -pgt B compares the first numbers in which A and B differ, which is
// how kernel versions order. A kernel without its initrd counts only if no kernel has one: dpkg unpacks the kernel
// first, and the power may fail between the two.
const template = `# Written by Griddle when this system was installed. The kernel is looked for at every boot.
set timeout=2
set default=0
if [ -s $prefix/grubenv ]; then
	load_env -f $prefix/grubenv
	if [ -n "$saved_entry" ]; then set default="$saved_entry"; fi
	if [ -n "$next_entry" ]; then
		set default="$next_entry"
		set next_entry=
		save_env -f $prefix/grubenv next_entry
	fi
fi

# UEFI consoles reach the serial line by themselves, where the firmware has one.
if [ "$grub_platform" = pc ]; then
	if serial --unit=0 --speed=115200; then
		terminal_input console serial
		terminal_output console serial
	fi
fi

# The pool beside this file first, so that a copy of the disk in the same machine is left alone.
regexp --set=1:disk '^([^,]*),' "$root"
search --no-floppy --fs-uuid --set=pool --hint="$disk,gpt3" @POOL@
set system="($pool)"@ROOT@
export pool system

set kernel=
set initrd=
if [ -f $system/vmlinuz -a -f $system/initrd.img ]; then
	set kernel=$system/vmlinuz
	set initrd=$system/initrd.img
else
	set lone=
	set newest=
	for k in $system/boot/vmlinuz-*; do
		if regexp '\.(dpkg-[a-z]*|old|bak|sig|hmac)$|rescue|\*' "$k"; then continue; fi
		regexp --set=1:version '/vmlinuz-([^/]*)$' "$k"
		set found=
		for i in $system/boot/initrd.img-$version $system/boot/initramfs-$version.img $system/boot/initrd-$version; do
			if [ -f "$i" ]; then set found="$i"; fi
		done
		if [ -n "$found" ]; then set best="$newest"; else set best="$lone"; fi
		set better=yes
		if [ -n "$best" ]; then
			if [ "$version" -pgt "$best" ]; then true; else set better=; fi
		fi
		if [ -n "$better" -a -n "$found" ]; then
			set newest="$version"
			set kernel="$k"
			set initrd="$found"
		elif [ -n "$better" ]; then
			set lone="$version"
			set bare="$k"
		fi
	done
	if [ -z "$kernel" ]; then set kernel="$bare"; fi
fi
export kernel initrd

menuentry @TITLE@ --id griddle {
	if [ -z "$kernel" ]; then
		echo "No kernel in $system: neither /vmlinuz with /initrd.img nor /boot/vmlinuz-*"
		sleep 60
	else
		echo "Loading $kernel"
		linux "$kernel" @ARGS@
		if [ -n "$initrd" ]; then initrd "$initrd"; fi
	fi
}

submenu "All kernels of this system" --id kernels {
	for k in $system/boot/vmlinuz-*; do
		if regexp '\.(dpkg-[a-z]*|old|bak|sig|hmac)$|\*' "$k"; then continue; fi
		menuentry "$k" "$k" {
			regexp --set=1:version '/vmlinuz-([^/]*)$' "$2"
			linux "$2" @ARGS@
			for i in $system/boot/initrd.img-$version $system/boot/initramfs-$version.img $system/boot/initrd-$version; do
				if [ -f "$i" ]; then initrd "$i"; fi
			done
		}
	done
}
`
