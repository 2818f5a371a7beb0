package reset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool"
	"griddle/initramfs/subvolume"

	"golang.org/x/sys/unix"
)

// Folder is the one of a pool where fresh roots are made.
const Folder = "@fresh"

// oldName is the name of the running root's snapshot there.
const oldName = ".running"

// two are ready: a power cut before the next ones are made costs one of them.
const two = 2

// ErrNotReset means that the system that runs is an ordinary root.
var ErrNotReset = errors.New("this machine is not reset at its starts")

// ErrTrial means that the root that runs is not of the good base: it may be on trial, and nothing is prepared yet.
var ErrTrial = errors.New("this system has not proved itself")

// ErrBase means that the base itself runs: call Base.
var ErrBase = errors.New("the base itself runs, which no one works on")

// Prepare has two fresh roots of the good base ready, if the root that runs is one of this base, and deletes those that
// were used. Roots that are ready stay, but with again all are made again, of what is kept by now. It returns how many
// it made. It is durable on return.
func Prepare(ctx context.Context, p *pool.Pool, again bool) (int, error) {
	w, err := begun(ctx, p)
	if err != nil {
		return 0, err
	}
	defer w.lock.Close()
	if w.all.Running() == nil {
		return 0, ErrBase
	}
	if w.base != w.all.Good {
		return 0, ErrTrial
	}
	n, err := w.ready(again)
	if err == nil && again {
		err = w.handOver()
	}
	return n, errors.Join(err, w.clear())
}

// handOver makes the fresh root again that waits for the trial of another base: that may have a later password of the
// domain then, and what else is kept.
func (w *work) handOver() error {
	next, err := w.all.Root(w.all.Candidate)
	if err != nil || next.Reset == "" || next.Name == w.base || w.all.Tries == 0 || w.all.Latest(next.Name) == nil {
		return nil
	}
	if _, err := w.make(next.Name); err != nil {
		return err
	}
	return w.pool.Switch(next.Name)
}

// work is one Prepare.
type work struct {
	context.Context
	pool *pool.Pool
	all  pool.Contents
	base string   // of the root that runs
	from string   // path of the root of which the new ones get what is kept; "" for none
	dir  string   // Folder
	lock *os.File // of Folder
}

// First makes the first n fresh roots of a new base, with the numbers 1 to n. They are durable on return.
func First(ctx context.Context, p *pool.Pool, base string, n int) error {
	w, err := locked(ctx, p)
	if err != nil {
		return err
	}
	defer w.lock.Close()
	w.base = base
	err = w.clear()
	for i := 0; i < n && err == nil; i++ {
		_, err = w.make(base)
	}
	return errors.Join(err, subvolume.Sync(p.Dir()))
}

// Next makes dir/name what the next fresh root of a base would be: it has what is kept by now. An update carries of it.
func Next(ctx context.Context, p *pool.Pool, base, dir, name string) error {
	w := &work{Context: ctx, pool: p, base: base, dir: dir}
	var err error
	if w.all, err = p.Read(); err != nil {
		return err
	}
	if err := w.source(); err != nil {
		return err
	}
	return w.snapshot(base, name, base)
}

// Clean deletes the fresh roots that no one needs, if there are any.
func Clean(p *pool.Pool) error {
	c, err := p.Read()
	if err != nil || len(c.Fresh) == 0 {
		return err
	}
	w, err := locked(context.Background(), p)
	if err != nil {
		return err
	}
	return errors.Join(w.clear(), w.lock.Close())
}

// locked has others wait, and finds out what there is.
func locked(ctx context.Context, p *pool.Pool) (w *work, err error) {
	w = &work{Context: ctx, pool: p, dir: filepath.Join(p.Dir(), Folder)}
	if err := os.Mkdir(w.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making the folder of fresh roots: %w", err)
	}
	if w.lock, err = os.Open(w.dir); err != nil {
		return nil, fmt.Errorf("locking the fresh roots: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.lock.Close())
		}
	}()
	if err := unix.Flock(int(w.lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("locking the fresh roots: %w", err)
	}
	if w.all, err = p.Read(); err != nil {
		return nil, err
	}
	return w, nil
}

// begun is locked for the base of the system that runs.
func begun(ctx context.Context, p *pool.Pool) (*work, error) {
	w, err := locked(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, r := range w.all.Roots {
		if r.Runs && r.Reset != "" {
			w.base = r.Name
		}
	}
	if err = ErrNotReset; w.base != "" {
		err = errors.Join(w.clear(), w.source())
	}
	if err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	return w, nil
}

// clear deletes what an earlier Prepare left, and the roots that no one needs.
func (w *work) clear() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return fmt.Errorf("reading the folder of fresh roots: %w", err)
	}
	for _, e := range entries {
		err := subvolume.Delete(w.dir, e.Name())
		if errors.Is(err, subvolume.ErrOther) {
			err = os.RemoveAll(filepath.Join(w.dir, e.Name()))
		}
		if err != nil {
			return err
		}
	}
	return w.pool.DeleteSpent()
}

// source finds the root of which the new ones get what is kept: the one that runs, or else the latest one. Of the one
// that runs it takes a snapshot, which nothing writes to; but that would lack subvolumes in it.
func (w *work) source() error {
	f := w.all.Running()
	if f == nil || f.Base != w.base {
		if f = w.all.Latest(w.base); f == nil {
			return nil
		}
	}
	w.from = filepath.Join(w.pool.Dir(), roots, f.Name())
	inner, err := subvolume.Inner(w.from)
	if err != nil || !f.Runs || len(inner) > 0 {
		return err
	}
	if err := subvolume.Snapshot(w.from, w.dir, oldName); err != nil {
		return err
	}
	w.from = filepath.Join(w.dir, oldName)
	return nil
}

// ready makes the roots that are missing, or with again all, and has GRUB start them.
func (w *work) ready(again bool) (made int, err error) {
	var numbers []int
	if !again {
		numbers = w.all.Waiting()
	}
	for len(numbers) < two {
		n, err := w.make(w.base)
		if err != nil {
			return made, err
		}
		numbers = append(numbers, n)
		made++
	}
	return made, w.pool.Ready(w.base, numbers[0], numbers[1])
}

// make makes a fresh root of a base, whole and durable, and returns its number.
func (w *work) make(base string) (int, error) {
	n := 1
	if last := w.all.Latest(base); last != nil {
		n = last.Number + 1
	}
	name := bootenv.FreshName(base, n)
	if err := w.snapshot(base, name, name); err != nil {
		return 0, err
	}
	if err := subvolume.Sync(w.dir); err != nil {
		return 0, err
	}
	if err := os.Rename(filepath.Join(w.dir, name), filepath.Join(w.pool.Dir(), roots, name)); err != nil {
		return 0, fmt.Errorf("naming a fresh root: %w", err)
	}
	w.all.Fresh = append(w.all.Fresh, pool.Fresh{Base: base, Number: n})
	return n, nil
}
