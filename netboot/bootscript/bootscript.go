// Package bootscript writes the scripts that iPXE runs (https://ipxe.org/scripting).
//
// Call [Local], [Installed], [Agent], [Menu] or [Failure]; each returns a complete script. The result depends only on
// the arguments.
//
// Escaping: iPXE expands ${} everywhere, and has quotes, backslashes, &&, || and #. This package quotes nothing. A path
// or kernel argument with a character that iPXE interprets is an error; in text for people such characters become
// question marks. So no string from outside can add a command.
//
// The local disk: on BIOS iPXE fetches Options.Disk and runs it. That program finds the disk and starts it (package
// bios); it returns only if it does not find the disk. On UEFI the script starts the loader of the EFI system partition
// with the label Options.Volume, because the firmware's next boot entries are often IPv6 and HTTP of the same card,
// which take minutes to fail. If that fails, or if the installed system starts from a partition that other systems use
// too, the script ends with exit 1, and the firmware continues with its next entry; after status 0 EDK2 would stop at
// its boot manager's menu.
//
// More than one initrd: UEFI kernels open them by name through iPXE's virtual file system, so each gets a name and an
// initrd= argument. BIOS kernels get all of them joined, in order.
package bootscript

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// DefaultTimeout is how long a menu waits for a key.
const DefaultTimeout = 10 * time.Second

// InstalledTimeout is how long a machine with an installed system waits for a key at every boot.
const InstalledTimeout = 4 * time.Second

// Options are the contents of a script.
type Options struct {
	// Server is the HTTP server with scheme and without a final slash, "http://10.77.0.1:8080".
	Server string
	// UEFI says that the script is for UEFI; false means BIOS. The two start the local disk and
	// the initrds differently.
	UEFI bool
	// Title is the title of the menu; any text.
	Title string
	// Kernel and Initrds are paths below Server, such as /boot/vmlinuz; the initrds' base names differ.
	Kernel  string
	Initrds []string
	// Args are kernel arguments, without spaces.
	Args []string
	// Volume is the label of the EFI system partition to start on UEFI, letters, digits and dashes; "" names none.
	Volume string
	// Disk is the path below Server of the program that starts the local disk on BIOS; "" leaves that to the firmware.
	Disk string
	// Other is another such path, for what is tried if Disk does not start; "" for none.
	Other string
	// System says that Disk is the program for a disk with an installed system, and for no other.
	System bool
	// Memory is the path of the program that fails on a BIOS machine with too little memory for Kernel; "" leaves it to
	// the kernel.
	Memory string
	// Timeout is how long the menu waits for a key before it starts the local disk; zero means DefaultTimeout.
	Timeout time.Duration
}

// Local starts the local disk at once.
func Local(o Options) []byte {
	var b bytes.Buffer
	b.WriteString("#!ipxe\necho Griddle: starting the local disk\n")
	local(&b, o)
	return b.Bytes()
}

// Installed starts the local disk after InstalledTimeout, or o.Timeout if that is shorter. A key in this time keeps the
// menu, which also offers o.Kernel: this is how a user at the keyboard gets to the agent.
func Installed(o Options) ([]byte, error) {
	if o.Timeout <= 0 || o.Timeout > InstalledTimeout {
		o.Timeout = InstalledTimeout
	}
	return ask(o, "item --key a agent Griddle agent: install, repair, rescue shell\n")
}

// Agent starts o.Kernel at once, and the local disk if that fails.
func Agent(o Options) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("#!ipxe\necho Griddle: starting the agent\n")
	if err := agent(&b, o); err != nil {
		return nil, err
	}
	failed(&b, o)
	return b.Bytes(), nil
}

// Menu asks, and starts the local disk if no one answers.
func Menu(o Options) ([]byte, error) {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return ask(o, "item --key i agent Install a system on this machine\n")
}

// ask is a menu of the local disk, which is the default, and the agent.
func ask(o Options, item string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#!ipxe\nmenu Griddle %s\n", Text(o.Title))
	b.WriteString("item --key l local Local disk\n")
	b.WriteString(item)
	fmt.Fprintf(&b, "choose --default local --timeout %d target || goto local\ngoto ${target}\n",
		o.Timeout.Milliseconds())
	b.WriteString("\n:agent\n")
	if err := agent(&b, o); err != nil {
		return nil, err
	}
	failed(&b, o)
	return b.Bytes(), nil
}

// Failure shows message as long as a menu waits, then starts the local disk.
func Failure(o Options, message string) []byte {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "#!ipxe\necho Griddle: %s\n", Text(message))
	fmt.Fprintf(&b, "prompt --timeout %d Press a key to start the local disk ||\n", timeout.Milliseconds())
	local(&b, o)
	return b.Bytes()
}

func local(b *bytes.Buffer, o Options) {
	switch {
	case o.UEFI && o.Volume != "" && strings.Trim(o.Volume, letters+"-") == "":
		fmt.Fprintf(b, "chain file://%s/EFI/BOOT/BOOTX64.EFI ||\n", o.Volume)
	case !o.UEFI && o.Disk != "" && checkPath(o.Disk) == nil && safe(o.Server):
		fmt.Fprintf(b, "imgfree\nimgfetch --name disk %s%s || goto firmware\nimgexec disk ||\n", o.Server, o.Disk)
		if o.Other != "" && checkPath(o.Other) == nil {
			fmt.Fprintf(b, "imgfetch --name other %s%s || goto firmware\nimgexec other ||\n", o.Server, o.Other)
		}
		if !o.System {
			b.WriteString("echo Griddle: no BIOS drive has a boot program\n")
		} else {
			b.WriteString("echo Griddle: the disk with the installed system is not among the BIOS drives.\n" +
				"echo If the disk is in this machine, enable it in the BIOS setup (SATA mode, RAID, NVMe boot).\n")
		}
		b.WriteString("prompt --timeout 10000 Press a key to continue with the next entry of the boot " +
			"order ||\n:firmware\n")
	}
	b.WriteString("exit 1\n")
}

func failed(b *bytes.Buffer, o Options) {
	if !o.UEFI && o.Memory != "" {
		b.WriteString("\n:small\necho Griddle: this machine has too little memory. " +
			"The agent needs 512 MiB. Add memory.\n" +
			"prompt --timeout 30000 Press a key to start the local disk ||\ngoto local\n")
	}
	b.WriteString("\n:failed\necho Griddle: cannot start the agent, starting the local disk\nsleep 5\n\n:local\n")
	local(b, o)
}

func agent(b *bytes.Buffer, o Options) error {
	if err := check(o); err != nil {
		return fmt.Errorf("writing a boot script: %w", err)
	}
	if !o.UEFI && o.Memory != "" {
		fmt.Fprintf(b, "imgfetch --name memory %s%s || goto failed\nimgexec memory || goto small\nimgfree\n",
			o.Server, o.Memory)
	}
	fmt.Fprintf(b, "kernel %s%s", o.Server, o.Kernel)
	if o.UEFI {
		for _, i := range o.Initrds {
			fmt.Fprintf(b, " initrd=%s", path.Base(i))
		}
	}
	for _, a := range o.Args {
		fmt.Fprintf(b, " %s", a)
	}
	b.WriteString(" || goto failed\n")
	for _, i := range o.Initrds {
		fmt.Fprintf(b, "initrd --name %s %s%s || goto failed\n", path.Base(i), o.Server, i)
	}
	b.WriteString("boot || goto failed\n")
	return nil
}

// check returns all errors of o together.
func check(o Options) error {
	var errs []error
	if !safe(o.Server) || o.Server == "" {
		errs = append(errs, fmt.Errorf("server %q", o.Server))
	}
	seen := map[string]bool{}
	for i, p := range append([]string{o.Kernel}, o.Initrds...) {
		base := path.Base(p)
		if err := checkPath(p); err != nil {
			errs = append(errs, err)
		}
		if i > 0 && seen[base] {
			errs = append(errs, fmt.Errorf("two initrds have the name %q", base))
		}
		seen[base] = i > 0
	}
	if o.Memory != "" {
		if err := checkPath(o.Memory); err != nil {
			errs = append(errs, err)
		}
	}
	for _, a := range o.Args {
		if !ValidArg(a) {
			errs = append(errs, fmt.Errorf("kernel argument %q", a))
		}
	}
	return errors.Join(errs...)
}

func checkPath(p string) error {
	if base := path.Base(p); !safe(p) || !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?,") ||
		base == "/" || base[0] == '-' {
		return fmt.Errorf("path %q", p)
	}
	return nil
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// ValidArg says whether a can be a kernel argument in a script: 1 to 256 characters that iPXE does not interpret.
func ValidArg(a string) bool { return a != "" && len(a) <= 256 && safe(a) }

// safe says that no character of s means anything to iPXE.
func safe(s string) bool { return strings.Trim(s, letters+"_.,:;/@+=%()[]*!?~^-") == "" }

// Text makes s safe for a line of a script: printable ASCII that iPXE does not interpret, at most 200 bytes, without
// space at its ends.
func Text(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(letters+" _.,:;/@+=%()[]*!?~^-", r):
			return r
		case r == '"' || r == '\'' || r == '`':
			return -1
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		}
		return '?'
	}, s)
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.TrimSpace(s)
}
