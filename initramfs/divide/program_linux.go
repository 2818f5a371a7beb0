package divide

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/luks"
	"griddle/initramfs/ntfs"
	"griddle/initramfs/resize"
	"griddle/initramfs/volume"
)

// needs are the programs that a step runs.
func needs(s plan.Step) []string {
	switch s.Do {
	case plan.MakeVolume:
		if s.Kind == plan.Raid1 {
			return []string{volume.Mdadm}
		}
		return []string{volume.LVM}
	case plan.CheckFilesystem, plan.ShrinkFilesystem:
		if s.Filesystem == "ntfs" {
			return []string{ntfs.ProbePath, ntfs.ResizePath}
		}
		return resize.Programs(s.Filesystem)
	case plan.MakeFilesystem, plan.MakeMirror:
		if s.Filesystem != "swap" {
			return []string{"mkfs." + s.Filesystem}
		}
	}
	return nil
}

// programs finds every program that the steps need which are not done, before the first of them.
func (r *run) programs(ctx context.Context) error {
	missing := r.missing()
	if len(missing) > 0 && r.Tools != nil {
		if err := r.Tools(ctx, missing...); err != nil {
			return fmt.Errorf("programs for this plan: %w; nothing was written", err)
		}
		missing = r.missing()
	}
	if len(missing) > 0 {
		return fmt.Errorf("programs are missing in this boot image: %s; nothing was written; make the boot image "+
			"again with them", strings.Join(missing, ", "))
	}
	return nil
}

// missing are the programs that cannot be run.
func (r *run) missing() []string {
	var missing []string
	need := func(name string) {
		if _, err := exec.LookPath(name); err != nil && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if r.plan.Encrypts() { // what is encrypted already is opened too
		need(luks.Program)
	}
	for i, s := range r.plan.Steps {
		unneeded := r.past[i].done && s.Do != plan.MakeVolume // what is made has to be started
		for _, name := range needs(s) {
			if !unneeded {
				need(name)
			}
		}
	}
	return missing
}

// program runs a program that can be killed, and done again.
func program(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
