// Package reset gives a machine a fresh system at each start, for classrooms: what people change is gone then.
//
// Call Prepare on such a machine after each start, and with again at each clean shutdown. Call Base where the boot
// loader started the base itself. An update calls First for a new base. Package unit has the units that do all this.
//
//	@roots/NAME      the base: a root with the file /.griddle-base, read-only; no one works on it
//	@roots/NAME~N    fresh roots: writable snapshots of the base. One runs, two wait, and the latest of each other base
//	                 stays, so that a return to that base finds what it kept
//	@fresh           roots on their way; what a Prepare that was stopped left there is deleted by the next one
//
// A fresh root differs from its base by its line in /etc/fstab and its seed of random numbers, and has no markers. It
// gets of the root that ran before what is to stay: the joined domain, whose password changes by itself, and the paths
// that lists keep (carry.Keep): those of the base, and unit.KeepFile, which has those of the settings. Nothing else.
//
// # What it guarantees
//
// GRUB takes a fresh root out of grubenv before it starts it, so that none starts twice. A new one is whole and durable
// in @roots before grubenv names it. If the power fails at any time, the next start takes a fresh root that was ready
// before or a newer one; only if none is left, after two starts that prepared nothing, it takes the base, which makes
// two and restarts. The base is not changed, apart from its marker of a root that proved itself.
//
// One Prepare at a time: another one waits. @home and @persistent are not touched.
package reset

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/initramfs/pool"
	"griddle/initramfs/pool/carry"
	"griddle/initramfs/pool/reset/unit"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
)

// reportFiles are what a system reports with, once, that it is up. A system that did has removed them.
var reportFiles = []string{"etc/griddle/phone-home.json",
	"etc/systemd/system/multi-user.target.wants/griddle-phone-home.service"}

// roots is the folder of roots.
const roots = "@roots"

// snapshot makes w.dir/name a fresh root of a base, which is to be @roots/root later. It gets what is kept of the root
// at w.from, as far as that differs from its own base. Nothing is synced.
func (w *work) snapshot(base, name, root string) error {
	p, dir := w.pool, w.dir
	at := filepath.Join(p.Dir(), roots, base)
	if err := subvolume.SetReadOnly(at, true); err != nil {
		return err
	}
	if err := subvolume.Snapshot(at, dir, name); err != nil {
		return err
	}
	fresh, err := os.OpenRoot(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("opening a fresh root: %w", err)
	}
	defer fresh.Close()
	if err := begin(sysroot.Dir{Root: fresh}, base, root); err != nil {
		return fmt.Errorf("making a fresh root of %s: %w", pool.Label(base), err)
	}
	if w.from == "" {
		return nil
	}
	old, err := os.OpenRoot(w.from)
	if err != nil {
		return fmt.Errorf("opening the root before: %w", err)
	}
	defer old.Close()
	image, err := os.OpenRoot(filepath.Join(p.Dir(), roots, w.base))
	if err != nil {
		return fmt.Errorf("opening the base %s: %w", pool.Label(w.base), err)
	}
	defer image.Close()
	return keep(w, carry.Trees{Old: old, Image: image, New: fresh})
}

// begin makes a snapshot of a base a root that starts.
func begin(d sysroot.Dir, base, root string) error {
	for _, marker := range []string{pool.BaseMarker, pool.Marker} {
		if err := d.RemoveAll(marker); err != nil {
			return err
		}
	}
	table, err := d.Read("etc/fstab")
	if err != nil {
		return err
	}
	if own := withRoot(string(table), base, root); own != string(table) {
		if err := d.Replace("etc/fstab", []byte(own), 0o644); err != nil {
			return err
		}
	}
	// A seed that two roots start with would be used twice.
	if st, err := d.Stat("var/lib/systemd"); err != nil || !st.IsDir() {
		return nil
	}
	seed := make([]byte, 512)
	rand.Read(seed)
	return d.Write("var/lib/systemd/random-seed", seed, 0o600)
}

// withRoot is a table of filesystems whose root is another subvolume.
func withRoot(table, from, to string) string {
	var out strings.Builder
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == "/" {
			options := strings.Split(f[3], ",")
			if at := slices.Index(options, "subvol=/"+roots+"/"+from); at >= 0 {
				options[at] = "subvol=/" + roots + "/" + to
				f[3] = strings.Join(options, ",")
				line = strings.Join(f, " ") + "\n"
			}
		}
		out.WriteString(line)
	}
	return out.String()
}

// keep carries what stays.
func keep(ctx context.Context, t carry.Trees) error {
	fresh := sysroot.Dir{Root: t.New}
	text, err := fresh.Read(unit.KeepFile)
	if err != nil {
		return err
	}
	if _, err := carry.Keep(ctx, t, strings.Fields(string(text))); err != nil {
		return err
	}
	if (sysroot.Dir{Root: t.Old}).HasFile(reportFiles[0]) {
		return nil
	}
	for _, name := range reportFiles {
		if err := fresh.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing /%s: %w", name, err)
		}
	}
	return nil
}
