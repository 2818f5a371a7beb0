package bootloader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// ErrNoKernel is wrapped by errors about roots in which GRUB finds no kernel.
var ErrNoKernel = errors.New("it has no kernel: neither /vmlinuz with /initrd.img nor /boot/vmlinuz-*")

// Kernel is what GRUB loads from a root. The paths are relative to the root's top.
type Kernel struct {
	Path   string // "boot/vmlinuz-6.1.0-50-amd64"
	Initrd string // "" if the kernel starts without one
}

// FindKernel is the kernel that grub.cfg takes from a root: /vmlinuz with /initrd.img, or else the newest one in /boot
// that has an initrd, or else the newest one. Links that lead out of the root and empty files count as missing. Errors
// are ErrNoKernel or those of the disk.
func FindKernel(root *os.Root) (Kernel, error) { return FindOtherKernel(root, "") }

// FindOtherKernel is FindKernel for a root from which the kernel with a version is about to be removed; "" for none.
func FindOtherKernel(root *os.Root, removed string) (Kernel, error) {
	found, err := fs.Glob(root.FS(), "boot/vmlinuz-*")
	if err != nil {
		return Kernel{}, fmt.Errorf("looking for a kernel: %w", err)
	}
	gone, _ := root.Stat("boot/vmlinuz-" + removed)
	return ChooseKernel(found, func(name string) bool {
		st, err := root.Stat(name)
		return err == nil && st.Mode().IsRegular() && st.Size() > 0 && (removed == "" || !os.SameFile(st, gone))
	})
}

// ChooseKernel is FindKernel for a tree of which found are the names boot/vmlinuz-* and has says whether a name is one
// of a file that is not empty.
func ChooseKernel(found []string, has func(name string) bool) (Kernel, error) {
	if has("vmlinuz") && has("initrd.img") {
		return Kernel{Path: "vmlinuz", Initrd: "initrd.img"}, nil
	}
	var newest, lone Kernel
	for _, k := range found {
		if leftOver.MatchString(path.Base(k)) || !has(k) {
			continue
		}
		initrd := ""
		for _, pattern := range initrds {
			if i := fmt.Sprintf(pattern, version(k)); has(i) {
				initrd = i
			}
		}
		best := &newest
		if initrd == "" {
			best = &lone
		}
		if best.Path == "" || newer(version(k), version(best.Path)) {
			*best = Kernel{k, initrd}
		}
	}
	if newest.Path != "" {
		return newest, nil
	}
	if lone.Path != "" {
		return lone, nil
	}
	return Kernel{}, ErrNoKernel
}

// leftOver are names of files beside kernels that are not the kernels to start.
var leftOver = regexp.MustCompile(`\.(dpkg-[a-z]*|old|bak|sig|hmac)$|rescue`)

// initrds are the names of a kernel's initrd, by its version; the last one that exists counts.
var initrds = []string{"boot/initrd.img-%s", "boot/initramfs-%s.img", "boot/initrd-%s"}

func version(kernel string) string { return strings.TrimPrefix(path.Base(kernel), "vmlinuz-") }

// newer is -pgt of GRUB's test command: the first numbers in which a and b differ, compared (GRUB 2.06
// grub-core/commands/test.c). What is not a number is 0.
func newer(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for i > 0 && '0' <= a[i-1] && a[i-1] <= '9' {
		i--
	}
	return number(a[i:]) > number(b[i:])
}

// number is the number that s begins with, as strtoul reads it: with a leading 0 it is octal.
func number(s string) uint64 {
	base, digits := 10, "0123456789"
	if strings.HasPrefix(s, "0") {
		base, digits = 8, "01234567"
	}
	end := len(s) - len(strings.TrimLeft(s, digits))
	n, _ := strconv.ParseUint(s[:end], base, 64) // the largest one if it is too large, as there
	return n
}
