package update

import (
	"fmt"
	"strings"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootcopy"
	"griddle/initramfs/pool"
)

// kernelRoom refuses an image whose kernel and initrd have too little room in the partition for kernels of an encrypted
// pool, after it deleted what is not needed.
func (w *work) kernelRoom(m *content.Manifest) error {
	files := kernelFiles(m)
	need, free, err := w.Pool.KernelRoom(files)
	if err != nil || need <= free {
		return err
	}
	gone, err := clean(w.Pool, func(string) bool { return true })
	for _, what := range gone {
		w.say("for room in the partition for kernels, %s was deleted", what)
	}
	if err != nil {
		return err
	}
	if need, free, err = w.Pool.KernelRoom(files); err != nil || need <= free {
		return err
	}
	if w.contents, err = w.Pool.Read(); err != nil {
		return err
	}
	return fmt.Errorf("%w: kernel and initrd of %s need %s beside the others, and %s are free; %s", bootcopy.ErrRoom,
		w.image.Ref(), job.Bytes(need), job.Bytes(free), w.frees())
}

// frees says which roots a person can delete for room in the partition for kernels.
func (w *work) frees() string {
	var out []string
	for _, r := range w.contents.Roots {
		if n := w.Pool.KernelsFreed(r); n > 0 && w.contents.MayDelete(r) == nil {
			out = append(out, fmt.Sprintf("%s (%s)", pool.Label(r.Name), job.Bytes(n)))
		}
	}
	if out == nil {
		return "no root can be deleted, so make a smaller initrd in the template, or install the machine again with " +
			"a larger partition for kernels"
	}
	return "delete one of these roots with `griddle-agent recover delete-root`: " + strings.Join(out, ", ")
}

// kernelFiles are the kernel and the initrd that GRUB takes from a tree; nil if it has none so far.
func kernelFiles(m *content.Manifest) []bootcopy.File {
	file := func(name string) *content.Entry {
		e := m.Find(name)
		if e != nil && e.Type == content.Symlink {
			e = m.Lookup(name)
		}
		if e != nil && e.Type == content.HardLink {
			e = m.Find(e.Target)
		}
		if e == nil || e.Type != content.Regular || e.Size == 0 {
			return nil
		}
		return e
	}
	var kernels []string
	for _, e := range m.Entries {
		if strings.HasPrefix(e.Path, "boot/vmlinuz-") {
			kernels = append(kernels, e.Path)
		}
	}
	k, err := bootloader.ChooseKernel(kernels, func(name string) bool { return file(name) != nil })
	if err != nil || k.Initrd == "" {
		return nil // a hook of the image may make one
	}
	var out []bootcopy.File
	for _, name := range []string{k.Path, k.Initrd} {
		e := file(name)
		out = append(out, bootcopy.File{Size: e.Size, SHA256: e.SHA256})
	}
	return out
}
