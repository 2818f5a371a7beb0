package definition

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"griddle/cloud/diskimage"
	"griddle/cloud/yamltree"
)

// Target is where disks are registered: a provider of clouds.
type Target interface {
	// Register makes the disk known under name and returns the target's own ID. Called again after an error or a kill
	// it makes nothing twice.
	Register(ctx context.Context, name string, d diskimage.Disk) (id string, err error)
	// Remove takes away what Register made, or began to make, under name; nil where there is nothing.
	Remove(ctx context.Context, name string) error
}

// Builder makes what definitions say.
type Builder struct {
	Dir   string           // keeps what was done: NAME.json, for each definition
	Cache *diskimage.Cache // keeps the disks
	Out   string           // for outputs that are not registered, with names for people; "" leaves them in the cache
	// Image finds an image in the catalog.
	Image    func(ctx context.Context, ref, arch string) (diskimage.Image, error)
	Targets  map[string]Target // by the names that Output.Register gives
	Progress func(Step)        // is called when a step begins and when it ends; may be nil
	Now      func() time.Time  // nil: time.Now
}

// Build makes every output of d and registers those that say so. A step that was done before, and whose result is still
// there, is skipped: a run that failed or was killed resumes. If one output fails the others are still built; each
// failure is in the error. It returns the steps of this run, done or not, in order.
func (b *Builder) Build(ctx context.Context, d *Definition) ([]Step, error) {
	for _, o := range d.Outputs {
		if _, ok := b.Targets[o.Register]; o.Register != "" && !ok {
			return nil, fmt.Errorf("building %s: output %s: there is no target %s to register with", d.Name, o.Name,
				yamltree.Short(o.Register))
		}
	}
	j, err := b.open(ctx, d.Name)
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", d.Name, err)
	}
	defer j.close()
	var image diskimage.Image
	// Always anew: a channel may name another version by now.
	find := Step{Kind: KindImage, ID: stepID(KindImage, "", d.Image, d.Arch), What: d.Image}
	run := []Step{}
	find, err = j.do(find, true, func(s *Step) (err error) {
		image, err = b.Image(ctx, d.Image, d.Arch)
		s.Result = image.Digest
		return err
	})
	run = append(run, find)
	if err != nil {
		return run, fmt.Errorf("building %s: %w", d.Name, err)
	}
	var errs []error
	for _, o := range d.Outputs {
		steps, err := b.output(ctx, j, d, o, image)
		run = append(run, steps...)
		if err != nil {
			errs = append(errs, fmt.Errorf("building %s: output %s: %w", d.Name, o.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return run, errors.Join(errs...)
}

func (b *Builder) output(ctx context.Context, j *journal, d *Definition, o Output,
	image diskimage.Image) (run []Step, err error) {
	var disk diskimage.Disk
	s := Step{Kind: KindDisk, Output: o.Name, ID: stepID(KindDisk, o.Name, image.Digest, o.Options),
		What: string(o.Options.Format)}
	old, done := j.done(s.ID)
	if done {
		disk, err = b.Cache.Find(old.Result)
		done = err == nil
	}
	s, err = j.do(s, !done, func(s *Step) (err error) {
		disk, err = b.Cache.Make(ctx, image, o.Options)
		s.Result = disk.Digest
		return err
	})
	run = append(run, s)
	if err != nil {
		return run, err
	}
	if o.Register == "" {
		if b.Out == "" {
			return run, nil
		}
		s, err = b.put(ctx, j, d, o, disk, image)
		return append(run, s), err
	}
	s = Step{Kind: KindRegister, Output: o.Name, ID: stepID(KindRegister, o.Name, disk.Digest, o.Register),
		What: o.Register}
	s.Name = fmt.Sprintf("%s-%s-%s", d.Name, o.Name, disk.Digest[len("sha256:"):][:12])
	_, done = j.done(s.ID)
	s, err = j.do(s, !done, func(s *Step) (err error) {
		s.Result, err = b.Targets[o.Register].Register(ctx, s.Name, disk)
		return err
	})
	return append(run, s), err
}

// put copies an output to where people look for it.
func (b *Builder) put(ctx context.Context, j *journal, d *Definition, o Output, disk diskimage.Disk,
	image diskimage.Image) (Step, error) {
	dir, err := filepath.Abs(b.Out)
	if err != nil {
		return Step{}, err
	}
	s := Step{Kind: KindFile, Output: o.Name, Name: fileName(d, o, image)}
	s.What = filepath.Join(dir, s.Name)
	s.ID = stepID(KindFile, o.Name, disk.Digest, s.What)
	// What became of the file since is seen by looking at it alone.
	return j.do(s, true, func(s *Step) (err error) {
		copied, err := disk.Put(ctx, s.What)
		s.Result, s.Skipped = s.What, err == nil && !copied
		return err
	})
}

// fileName is DEFINITION-OUTPUT-VERSION-ARCH and the format, such as web-kvm-20261120.1-amd64.qcow2.
func fileName(d *Definition, o Output, image diskimage.Image) string {
	ref, _, _ := strings.Cut(image.Ref, "@")
	version := ref[strings.LastIndexAny(ref, ":/")+1:]
	if !strings.Contains(ref, ":") || !isFileName(version) {
		version = strings.TrimPrefix(image.Digest, "sha256:")[:12]
	}
	return fmt.Sprintf("%s-%s-%s-%s%s", d.Name, o.Name, version, d.Arch, o.Options.Format.Extension())
}

// isFileName reports whether a version can be a part of a file's name as it is.
func isFileName(s string) bool {
	return s != "" && len(s) <= 100 &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+~_-") == ""
}

// stepID names a step and everything that its result depends on.
func stepID(kind Kind, output string, in ...any) string {
	b, err := json.Marshal(in)
	if err != nil {
		panic(err) // nothing without JSON is given
	}
	sum := sha256.Sum256(b)
	if output != "" {
		output += "-"
	}
	return fmt.Sprintf("%s-%s%x", kind, output, sum[:6])
}
