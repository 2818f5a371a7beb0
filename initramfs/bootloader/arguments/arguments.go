// Package arguments keeps the kernel arguments that a root has of its own: a file in the root that GRUB reads as data,
// and never runs.
//
// Call Write when a root is made, and Read for a start that GRUB does not see.
//
//	/usr/lib/griddle/kernel-arguments, in the root; an environment block of GRUB
//	+-------------------------------------------+
//	| # GRUB Environment Block                  |
//	| griddle_arguments_format=1                |
//	| griddle_arguments="quiet" "a=file x.c +p" | all of them in their order, each in double quotes
//	| griddle_arguments_of_job="quiet"          | those of them that the job of the install had; GRUB does not read it
//	+-------------------------------------------+
//
// A root without the file, or with one of another form, starts with the arguments of grub.cfg. The file may be hostile:
// it has a say in the start of its own root, and in nothing else.
//
// Sources: GRUB 2.06 grub-core/lib/envblk.c, grub-core/commands/loadenv.c; script/pool.cfg of package bootloader.
package arguments

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/sysroot"
)

// File is the file, from the top of the root.
const File = "usr/lib/griddle/kernel-arguments"

// Arguments are those of a root, one each, as job.KernelArg reads them.
type Arguments struct {
	All []string // for the kernel
	Job []string // those of All that the job of the install had; an update keeps them
}

const (
	signature = "# GRUB Environment Block\n"
	prefix    = "griddle_arguments"
	format    = "1"
)

// Write gives a root its arguments, in place of those that it has. An error names all that the kernel or GRUB cannot
// take. Nothing is synced.
func Write(root sysroot.Dir, a Arguments) error {
	if err := job.KernelArgs(a.All); err != nil {
		return fmt.Errorf("writing the kernel arguments of a root: %w", err)
	}
	if err := job.KernelArgs(a.Job); err != nil {
		return fmt.Errorf("writing the kernel arguments of a root: %w", err)
	}
	text := fmt.Sprintf("%[1]s%[2]s_format=%[3]s\n%[2]s=%[4]s\n%[2]s_of_job=%[5]s\n", signature, prefix, format,
		quote(a.All), quote(a.Job))
	return root.Write(File, []byte(text), 0o644)
}

// Remove takes the arguments of a root away.
func Remove(root sysroot.Dir) error {
	if err := root.RemoveAll(File); err != nil {
		return fmt.Errorf("removing the kernel arguments of a root: %w", err)
	}
	return nil
}

// Read returns the arguments that GRUB takes from a root; nil if it takes those of grub.cfg.
func Read(root sysroot.Dir) (*Arguments, error) {
	b, err := root.Read(File)
	if err != nil {
		return nil, fmt.Errorf("reading the kernel arguments of a root: %w", err)
	}
	return parse(b), nil
}

func quote(args []string) string {
	var out []string
	for _, w := range Words(args) {
		out = append(out, `"`+w+`"`)
	}
	return strings.Join(out, " ")
}

// Words are arguments as Read returns them: without the quotes that people may write. What no kernel takes stays.
func Words(args []string) []string {
	var out []string
	for _, a := range args {
		if w, err := job.KernelArg(a); err == nil {
			a = w
		}
		out = append(out, a)
	}
	return out
}

// valid is what GRUB takes; the same patterns are in script/pool.cfg. word is one of the arguments.
var (
	valid = regexp.MustCompile(`^( *"[^"\\]+")*$`)
	other = regexp.MustCompile(`'|[^ -~]`)
	word  = regexp.MustCompile(`"([^"]*)"`)
)

// parse reads the file as GRUB does.
func parse(b []byte) *Arguments {
	vars := variables(b)
	text := vars[prefix]
	if vars[prefix+"_format"] != format || other.MatchString(text) || !valid.MatchString(text) {
		return nil
	}
	a := &Arguments{All: words(text)}
	if of := vars[prefix+"_of_job"]; !other.MatchString(of) && valid.MatchString(of) {
		a.Job = words(of)
	}
	return a
}

func words(text string) []string {
	var out []string
	for _, m := range word.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// variables reads an environment block: a backslash takes the special meaning of the byte after it, and a later value
// counts more than an earlier one.
func variables(b []byte) map[string]string {
	text, ok := bytes.CutPrefix(b, []byte(signature))
	if !ok {
		return nil
	}
	out := map[string]string{}
	for len(text) > 0 {
		if text[0] == '#' {
			_, text, _ = bytes.Cut(text, []byte("\n"))
			continue
		}
		name, rest, ok := bytes.Cut(text, []byte("="))
		if !ok {
			break
		}
		value, rest, ok := firstLine(rest)
		if !ok {
			break
		}
		out[cString(name)], text = cString(value), rest
	}
	return out
}

// firstLine is b up to its first line break that has no backslash before it, without the backslashes.
func firstLine(b []byte) (line, rest []byte, ok bool) {
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '\n':
			return line, b[i+1:], true
		case b[i] == '\\' && i+1 < len(b):
			i++
		}
		line = append(line, b[i])
	}
	return nil, nil, false
}

// cString is b up to its first zero.
func cString(b []byte) string {
	before, _, _ := bytes.Cut(b, []byte{0})
	return string(before)
}
