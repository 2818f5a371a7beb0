package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/divide"
	"griddle/initramfs/mounts"
	"griddle/initramfs/newroot"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/volume/kept"
)

// divide carries out the plan, after the server has recorded on which disk the job starts.
func (w *work) divide(ctx context.Context) error {
	if err := w.unmountLeftovers(); err != nil {
		return err
	}
	if err := w.report.Started(ctx, recorded(w.spec, w.target, w.disks)); err != nil {
		return fmt.Errorf("reporting the disk before writing to it: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.enter(job.PhasePartition, "dividing %s, by plan %s", w.target, w.divided.plan.Hash)
	w.written = true
	made, err := divide.Run(ctx, divide.Options{
		Job: w.spec.ID, Plan: w.divided.plan, Past: w.divided.past, Journal: records{w.o, w.divided},
		Find: w.o.Look, Sys: w.o.Sys, Progress: w.dividing(), Tools: w.o.Tools,
		Passphrase: []byte(w.settings.Disks.Passphrase), Recovery: w.recovery,
	})
	if err != nil {
		return err
	}
	w.sayRecovery(made)
	w.divided.made, w.target = made, made.Disk
	w.closeLater()
	w.undo = append(w.undo, func() error { return made.Release(ctx) })
	return nil
}

// dividing reports each step of the plan, and how far one that takes long is.
func (w *work) dividing() func(divide.Progress) {
	step, phase := 0, ""
	return func(p divide.Progress) {
		if p.Step != step || p.Phase != phase {
			text := fmt.Sprintf("step %d of %d: %s", p.Step, p.Steps, p.Text)
			if p.Phase != "" {
				text += ": " + p.Phase
			}
			w.say("%s", text)
		}
		step, phase = p.Step, p.Phase
		if p.Phase != "" { // only what moves the data of a filesystem has phases
			size := w.divided.plan.Steps[p.Step-1].Size
			w.report.Event(job.Event{Job: w.spec.ID, Phase: w.phase, Level: job.Info,
				Progress: &job.Progress{Done: int64(p.Percent / 100 * float64(size)), Total: size, Left: -1}})
		}
	}
}

// records is a Journal of package divide.
type records struct {
	o Options
	d *divided
}

// Record is durable on return.
func (r records) Record(ctx context.Context, e divide.Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("recording a step: %w", err)
	}
	if err := r.o.Journal.Record(ctx, b); err != nil {
		return err
	}
	return r.d.remember(r.o, e, b)
}

// fill mounts what the plan made for the system, and writes what it mounts beside its pool. What an earlier start of
// this job received stays; the roots that it began are deleted.
func (w *work) fill() error {
	made, p := w.divided.made, &w.parts
	p.esp, p.pool, p.espID, p.poolID = made.ESP.Node, made.Pool.Node, made.ESP.UUID, made.Pool.UUID
	p.bios = made.BIOS
	if err := w.mount(); err != nil {
		return err
	}
	roots := filepath.Join(p.poolDir, newroot.Folder)
	begun, err := os.ReadDir(roots)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for what an earlier start of this job left: %w", err)
	}
	for _, e := range begun {
		if err := subvolume.Delete(roots, e.Name()); err != nil {
			return err
		}
	}
	if err := w.persistent(p.poolDir); err != nil {
		return err
	}
	return w.beside(p.poolDir)
}

// bootEntry has the firmware start GRUB from the EFI system partition, by an entry of its own. Where that fails, a
// person can choose the loader: an install that is whole is worth more than its entry. A machine that runs a BIOS now
// gets none.
func (w *work) bootEntry(h half, title, file string) {
	err := errBIOS
	if !w.o.BIOS {
		err = w.addEntry(h, title, file)
	}
	if err == nil || file == bootloader.Fallback && (w.o.BIOS || errors.Is(err, nvram.ErrNone)) {
		return // what firmware starts without an entry
	}
	w.warn("the firmware has no boot entry for %s: %v; add one for %s of %s in its setup", title, err, file,
		h.disk.Path)
}

var errBIOS = errors.New("this machine runs a BIOS now")

// addEntry adds the entry. The entries of before are kept already (keepFormer).
func (w *work) addEntry(h half, title, file string) error {
	vars, err := w.o.Firmware()
	if err != nil {
		return err
	}
	l, err := pool.Loader(h.disk.Path, h.disk.Size, h.disk.SectorSize, h.esp.Part.Number)
	if err != nil {
		return err
	}
	l.Title, l.File = title, file
	number, err := vars.Add(l)
	if err != nil {
		return err
	}
	w.say("the firmware starts %s by its boot entry %04X; what it started before stays in its menu", title, number)
	return nil
}

// beside keeps what the systems of this machine mount beside the pool whose top is at a path. What a pool that stays
// had before is mounted too, unless the layout gives its filesystem or its path another use.
func (w *work) beside(top string) error {
	var all []mounts.Mount
	for _, p := range w.divided.made.Parts {
		switch p.Part.Use {
		case layout.Data, layout.Home:
			if p.Part.Mount != "" {
				all = append(all, mountOf(p))
			}
		case layout.Swap:
			all = append(all, mountOf(p))
		}
	}
	dir, err := os.OpenRoot(filepath.Join(top, "@persistent"))
	if err != nil {
		return fmt.Errorf("opening @persistent of the pool: %w", err)
	}
	defer dir.Close()
	record := w.divided.made.Volumes
	if w.kept {
		former, err := mounts.Read(dir)
		if err != nil {
			return err
		}
		volumes, err := kept.Read(dir)
		if err != nil {
			return err
		}
		record = volumes.With(record)
		all = append(all, slices.DeleteFunc(former, func(m mounts.Mount) bool {
			return slices.ContainsFunc(w.divided.made.Parts, func(p divide.Place) bool {
				return strings.EqualFold(p.UUID, m.UUID) || m.Path != "" && p.Part.Mount == m.Path
			})
		})...)
	}
	if err := mounts.Write(dir, all); err != nil {
		return err
	}
	return kept.Write(dir, record)
}

// others says whether the disks have other systems, which GRUB's menu then has too.
func (d *divided) others() bool {
	return slices.ContainsFunc(d.plan.Disks, func(disk plan.Disk) bool {
		return slices.ContainsFunc(disk.After, func(p plan.Part) bool {
			stays := p.Fate == plan.Stays || p.Fate == plan.Shrunk
			return stays && p.Use != layout.Pool && p.Use != layout.Boot
		})
	})
}
