package update

import (
	"fmt"
	"os"
	"slices"

	"griddle/appliance/setting"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/sysroot"
)

// sameArguments are the kernel arguments of a machine without settings: those of the old root, or of a job that
// installs. nil has the new root start with those of grub.cfg, as the old one does.
func (w *work) sameArguments() (*arguments.Arguments, error) {
	if w.Reinstall {
		return &arguments.Arguments{All: w.Spec.Args, Job: w.Spec.Args}, nil
	}
	return w.oldArguments()
}

// jobArguments are the kernel arguments that the machine has besides those of its settings: of the job that installs
// it, or installed it. A root that was made before roots had arguments of their own does not say which of grub.cfg's
// were whose: what the settings have no longer stays then.
func (w *work) jobArguments(s setting.Settings) ([]string, error) {
	if w.Reinstall {
		return w.Spec.Args, nil
	}
	old, err := w.oldArguments()
	if err != nil {
		return nil, err
	}
	if old != nil {
		return old.Job, nil
	}
	esp, err := w.Pool.ESP()
	if err != nil {
		return nil, err
	}
	conf, err := bootloader.ReadConfig(esp)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(conf.Args, func(a string) bool { return slices.Contains(arguments.Words(s.Args), a) }), nil
}

// oldArguments are those that the old root has of its own; nil for none.
func (w *work) oldArguments() (*arguments.Arguments, error) {
	root, err := os.OpenRoot(w.Pool.RootDir(w.old.Name))
	if err != nil {
		return nil, fmt.Errorf("reading the kernel arguments of the old root: %w", err)
	}
	defer root.Close()
	return arguments.Read(sysroot.Dir{Root: root})
}
