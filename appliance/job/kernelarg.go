package job

import (
	"errors"
	"fmt"
	"strings"
)

// maxKernelArg is the longest kernel argument, in bytes.
const maxKernelArg = 256

// MaxKernelArgs is the limit, in bytes, for all kernel arguments of an installed system, each with one byte for the
// space after it. The kernel drops what is beyond 2048 bytes (COMMAND_LINE_SIZE on x86); the rest is for root=,
// rootflags= and the consoles.
const MaxKernelArgs = 1536

// KernelArgs checks the kernel arguments of an installed system and returns all their errors together.
func KernelArgs(args []string) error {
	var errs []error
	total := 0
	for _, a := range args {
		_, err := KernelArg(a)
		errs = append(errs, err)
		total += len(a) + 1
	}
	if total > MaxKernelArgs {
		errs = append(errs,
			fmt.Errorf("%w: together they have %d bytes, the limit is %d", ErrKernelArg, total, MaxKernelArgs))
	}
	return errors.Join(errs...)
}

// ErrKernelArg is wrapped by every error of KernelArg.
var ErrKernelArg = errors.New("kernel argument")

// KernelArg reads one kernel argument as the kernel's documentation writes it, and returns the word for GRUB's linux
// command. That is the argument without the double quotes around its value or around the whole argument: GRUB adds them
// itself if a word has a space.
//
//	quiet                            quiet
//	dyndbg="file drivers/x.c +p"     dyndbg=file drivers/x.c +p
//	"dyndbg=file drivers/x.c +p"     dyndbg=file drivers/x.c +p
//	a=$b;c!                          a=$b;c!
//
// It refuses characters that GRUB or the kernel cannot pass on, and names them. GRUB writes a backslash before quotes
// and backslashes, but the kernel has no such escape. The kernel ends an argument at every space of ISO 8859-1, and one
// of these (byte a0) is also a part of letters in UTF-8. Sources: GRUB 2.06 grub-core/lib/cmdline.c; Linux 6.1
// lib/cmdline.c (next_arg) and lib/ctype.c.
func KernelArg(s string) (word string, err error) {
	refuse := func(why string) (string, error) {
		return "", fmt.Errorf("%w %q: %s", ErrKernelArg, Printable(s), why)
	}
	switch {
	case s == "":
		return refuse("it is empty")
	case len(s) > maxKernelArg:
		return refuse(fmt.Sprintf("it has %d bytes, the limit is %d", len(s), maxKernelArg))
	}
	for _, r := range s {
		switch {
		case r < ' ' || r == 0x7f:
			return refuse("it has a control character")
		case r > 0x7e:
			return refuse("it has a character that is not ASCII")
		case r == '\'' || r == '\\':
			return refuse(fmt.Sprintf("GRUB cannot pass on %c", r))
		}
	}
	word = s
	if whole, ok := unquoted(s); ok {
		word = whole
	} else if name, value, ok := strings.Cut(s, "="); ok {
		if inner, ok := unquoted(value); ok {
			word = name + "=" + inner
		}
	}
	switch {
	case strings.Contains(word, `"`):
		return refuse("put double quotes only around the value or around the whole argument")
	case word == "" || word[0] == '=':
		return refuse("it has no name")
	}
	if name, _, _ := strings.Cut(word, "="); strings.Contains(name, " ") {
		return refuse("its name has a space; give each argument on its own")
	}
	return word, nil
}

func unquoted(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s, false
	}
	return s[1 : len(s)-1], true
}
