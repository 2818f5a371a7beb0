package update

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/imagestore/ref"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/mounts"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
	"griddle/initramfs/volume/kept"
)

// lowBattery is the charge, in percent, below which a machine on its battery is not updated.
const lowBattery = 20

// reserve is what an update leaves free in the pool, in bytes: metadata, and what the new root gets besides its image.
const reserve = 128 << 20

// freeing is how long the kernel may take to free the room of what was deleted.
const freeing = 30 * time.Second

// check refuses an update that must not begin. It writes nothing, but for room it deletes what Clean deletes. Of an
// image that runs already there is no manifest.
func (w *work) check(ctx context.Context) (t taking, err error) {
	if err := power(w.Power); err != nil {
		return t, err
	}
	if _, err := job.ParseReset(string(w.Spec.Reset)); err != nil {
		return t, fmt.Errorf("%w: %w", ErrImage, err)
	}
	if w.contents, err = w.Pool.Read(); err != nil {
		return t, err
	}
	if w.old, err = oldRoot(w.contents); err != nil && !w.Reinstall {
		return t, err
	}
	if err := w.findDamaged(); err != nil {
		return t, err
	}
	if t, err = w.open(ctx, w.Open); err != nil {
		return t, err
	}
	w.image = t.image
	if w.current(t.in) && !w.Reinstall {
		return t, nil
	}
	if err := w.age(); err != nil {
		return t, err
	}
	if t.manifest, err = w.image.Content(ctx); err != nil {
		return t, err
	}
	if err := errors.Join(w.provable(t.manifest), w.opens(t.manifest)); err != nil {
		return t, err
	}
	if err := w.volumes(t.manifest); err != nil {
		return t, err
	}
	if err := newroot.CheckKernel(w.image.Ref(), t.manifest); err != nil {
		if w.Spec.Kernel.Ref == "" || w.Kernel == nil {
			return t, fmt.Errorf("%w: %w", ErrImage, err)
		}
		k, err := w.open(ctx, w.Kernel)
		if err != nil {
			return t, err
		}
		if k.manifest, err = k.image.Content(ctx); err != nil {
			return t, err
		}
		w.kernel = &k
	}
	if err := w.opensPool(t.manifest); err != nil {
		return t, err
	}
	if err := w.ask(ctx, t.manifest); err != nil {
		return t, err
	}
	if err := w.kernelRoom(t.manifest); err != nil {
		return t, err
	}
	if w.kernel != nil {
		return t, w.room(ctx, t, *w.kernel)
	}
	return t, w.room(ctx, t)
}

// volumes refuses an image whose system could not start the volumes of this machine.
func (w *work) volumes(m *content.Manifest) error {
	record, err := kept.Of(w.Pool.Dir())
	if err != nil {
		return err
	}
	if err := newroot.CheckPrograms(w.image.Ref(), m, record.Programs()); err != nil {
		return fmt.Errorf("%w: %w", ErrImage, err)
	}
	return nil
}

// provable refuses an image that could never be found good. Where no other root starts there is no trial.
func (w *work) provable(m *content.Manifest) error {
	err := newroot.CheckInit(w.image.Ref(), m)
	switch {
	case err == nil || w.old.Name == "":
		return nil
	case w.Reinstall:
		err = fmt.Errorf("%w, or erase the disk with --erase", err)
	}
	return fmt.Errorf("%w: %w", ErrImage, err)
}

// opens refuses an image whose system could not open what the machine has encrypted beside its pool.
func (w *work) opens(m *content.Manifest) error {
	persistent, err := os.OpenRoot(filepath.Join(w.Pool.Dir(), "@persistent"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening @persistent of the pool: %w", err)
	}
	all, err := mounts.Read(persistent)
	if err := errors.Join(err, persistent.Close()); err != nil {
		return err
	}
	if err := newroot.CheckEncrypted(w.image.Ref(), m, all); err != nil {
		return fmt.Errorf("%w: %w", ErrImage, err)
	}
	return nil
}

// opensPool refuses an image whose initrd could not open the pool, if that is encrypted.
func (w *work) opensPool(m *content.Manifest) error {
	encrypted, tpm := w.contents.Encrypted()
	if !encrypted {
		return nil
	}
	if w.kernel != nil {
		return fmt.Errorf("%w: %s has no kernel, and the initrd of a kernel image cannot open an encrypted pool; "+
			"install a kernel in its template and publish it again", ErrImage, w.image.Ref())
	}
	if err := newroot.CheckEncryptedPool(w.image.Ref(), m, tpm); err != nil {
		return fmt.Errorf("%w: %w", ErrImage, err)
	}
	return nil
}

// open opens an image and compares it with what the pool has.
func (w *work) open(ctx context.Context, how func(context.Context, []string) (Image, error)) (t taking, err error) {
	t.how = how
	have, err := intake.Have(w.Pool.Dir(), w.damaged...)
	if err != nil {
		return t, err
	}
	if t.image, err = how(ctx, have); err != nil {
		return t, err
	}
	t.in, err = intake.Open(w.Pool.Dir(), t.image, w.damaged...)
	if errors.Is(err, intake.ErrNoParent) {
		err = fmt.Errorf("%w; order the update again, or install the image", err)
	}
	return t, err
}

// reset is what of the new root is fresh at each start.
func (w *work) reset() job.Reset {
	if w.Reinstall {
		return w.Spec.Reset.After("")
	}
	return w.Spec.Reset.After(w.old.Reset)
}

// oldRoot is the root that the new one follows.
func oldRoot(c pool.Contents) (pool.Root, error) {
	for _, r := range c.Roots {
		if r.Runs {
			return r, nil
		}
	}
	for _, name := range []string{c.Good, c.Boots} {
		if r, err := c.Root(name); name != "" && err == nil {
			return r, nil
		}
	}
	return pool.Root{}, errors.New("updating this machine: its pool has no root that boots; install it again with " +
		"`griddle machine install`, which keeps /home and /persistent")
}

// current says whether the old root is of the image, and resets what the new one would.
func (w *work) current(in *intake.Intake) bool {
	dir := in.Has()
	if dir == "" || w.old.Name == "" || w.reset() != w.old.Reset {
		return false
	}
	image, err := subvolume.Read(dir)
	if err != nil {
		return false
	}
	root, err := subvolume.Read(filepath.Join(w.Pool.Dir(), newroot.Folder, w.old.Name))
	return err == nil && root.Parent == image.ID
}

// age refuses an image that is older than the old root's.
func (w *work) age() error {
	if w.Spec.AllowOlder || w.Reinstall {
		return nil
	}
	next, err := ref.Parse(w.image.Ref())
	if err != nil {
		return err
	}
	was := w.version(next)
	if was == "" || ref.CompareVersions(next.Version, was) >= 0 {
		return nil
	}
	return fmt.Errorf("%w: %s is older than version %s; to update to it all the same, add --allow-older", ErrOlder,
		next, job.Printable(was))
}

// version is that of the old root, if it is of the template of next, else "". A root of an agent that did not write
// newroot.ImageFile has it in its name.
func (w *work) version(next ref.Ref) string {
	root, err := os.OpenRoot(w.Pool.RootDir(w.old.Name))
	if err != nil {
		return ""
	}
	defer root.Close()
	if b, err := (sysroot.Dir{Root: root}).Read(strings.TrimPrefix(newroot.ImageFile, "/")); err == nil && len(b) > 0 {
		r, err := ref.Parse(strings.TrimSpace(string(b)))
		if err != nil || r.Template() != next.Template() {
			return ""
		}
		return r.Version
	}
	rest, ok := strings.CutPrefix(w.old.Name, intake.Name(next.Template())+"-")
	version, _, exact := strings.Cut(rest, "@")
	if !ok || !exact || version == "" || version[0] < '0' || version[0] > '9' {
		return ""
	}
	return version
}

// ask gets the settings of the machine, and refuses those that could not be applied.
func (w *work) ask(ctx context.Context, m *content.Manifest) (err error) {
	if w.Settings == nil {
		w.args, err = w.sameArguments()
		return err
	}
	s, err := w.Settings(ctx)
	if err != nil {
		return err
	}
	spec := w.Spec
	if spec.Args, err = w.jobArguments(s); err != nil {
		return err
	}
	w.args = &arguments.Arguments{All: newroot.Args(spec, s), Job: spec.Args}
	host := s.Hostname
	if host == "" {
		host = "griddle"
	}
	if err := newroot.Check(spec, host, s, m); err != nil {
		return fmt.Errorf("%w: %w", ErrImage, err)
	}
	if s.UserData != "" && !newroot.HasCloudInit(m) {
		w.warn("userData has no effect: %s has no cloud-init", w.image.Ref())
	}
	w.settings = &s
	return nil
}

// room refuses to take images for which the pool has too little room, after it deleted what is not needed. What they
// start from stays, and what was taken before.
func (w *work) room(ctx context.Context, all ...taking) error {
	var raw int64
	uses := slices.Clone(w.taken)
	for _, t := range all {
		raw += t.in.Raw()
		uses = append(uses, t.in.Has(), t.in.Parent())
	}
	need := raw + raw/7 + reserve
	if w.settings != nil {
		need += int64(w.settings.Swap)
	}
	if w.contents.Free >= need {
		return nil
	}
	gone, err := clean(w.Pool, func(name string) bool {
		return slices.Contains(uses, filepath.Join(w.Pool.Dir(), intake.Folder, name))
	})
	for _, what := range gone {
		w.say("for room, %s was deleted", what)
	}
	if err != nil {
		return err
	}
	// The kernel frees the room later.
	for end := time.Now().Add(freeing); len(gone) > 0 && time.Now().Before(end); {
		if err := subvolume.Reclaim(w.Pool.Dir()); err != nil {
			return err
		}
		if w.contents, err = w.Pool.Read(); err != nil || w.contents.Free >= need {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(freeing / 50):
		}
	}
	return fmt.Errorf("%w: %s are free, and %s needs %s; delete files, or roots that are not needed with "+
		"`griddle-agent recover delete-root`", ErrRoom, job.Bytes(w.contents.Free), all[0].image.Ref(), job.Bytes(need))
}

// power refuses a machine that runs on a battery with little charge (Documentation/ABI/testing/sysfs-class-power). What
// is not known passes; batteries of mice do not count.
func power(dir string) error {
	supplies, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, s := range supplies {
		is := func(file, want string) bool {
			b, err := os.ReadFile(filepath.Join(s, file))
			return err == nil && strings.EqualFold(strings.TrimSpace(string(b)), want)
		}
		if !is("type", "Battery") || is("scope", "Device") || !is("status", "Discharging") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(s, "capacity"))
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n < lowBattery {
			return fmt.Errorf("%w: it has %d percent, and at least %d are needed; connect the machine to power",
				ErrPower, n, lowBattery)
		}
	}
	return nil
}
