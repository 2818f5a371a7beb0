// Package build is `griddle image build` and `griddle image builds`: it makes the disks and trees that a definition asks for.
package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	clouds "griddle/appliance/griddle/cloud"
	"griddle/appliance/job"
	"griddle/cloud/definition"
	"griddle/cloud/diskimage"
	"griddle/cloud/stack"
	"griddle/imagestore/ref"
)

// builds is what the commands about definitions have in common.
type builds struct {
	e       *cli.Env
	store   cli.StoreFlags
	disks   clouds.DiskFlags
	targets map[string]string // stack files, by the target's name
}

func (b *builds) add(c *cobra.Command) {
	b.store.Add(c)
	b.disks.Add(c)
	c.Flags().StringToStringVar(&b.targets, "target", nil, "`NAME=FILE`: the target NAME is the provider of the stack file FILE")
}

// builder is what makes images, and remembers what it made.
func (b *builds) builder(ctx context.Context) (*definition.Builder, error) {
	state, err := cli.HomeDir(b.e, "XDG_STATE_HOME", filepath.Join(".local", "state"))
	if err != nil {
		return nil, err
	}
	if state == "" {
		return nil, errors.New("finding where builds are kept: HOME is not set")
	}
	cache, err := b.disks.Open(ctx, b.e)
	if err != nil {
		return nil, err
	}
	d := &definition.Builder{Dir: filepath.Join(state, "griddle", "builds"), Cache: cache, Targets: make(map[string]definition.Target)}
	d.Image = func(ctx context.Context, name, arch string) (diskimage.Image, error) {
		image, err := ref.Parse(name)
		if err != nil {
			return diskimage.Image{}, err
		}
		image.Arch = arch
		st, err := cli.OpenStore(b.e, b.store, false)
		if err != nil {
			return diskimage.Image{}, err
		}
		return diskimage.FromStore(ctx, st, image)
	}
	d.Targets["catalog"] = &catalogTarget{b: b}
	for _, kind := range stack.Providers() {
		d.Targets[kind] = &providerTarget{b: b, kind: kind}
	}
	for name, file := range b.targets {
		d.Targets[name] = &providerTarget{b: b, file: file}
	}
	return d, nil
}

func Command(e *cli.Env) *cobra.Command {
	b := &builds{e: e}
	var profiles []string
	var root, dir string
	var preview, asJSON bool
	c := &cobra.Command{
		Use:   "build DEFINITION",
		Short: "Make the disks and trees that a definition asks for, of one image",
		Long: `Make the disks and trees that the definition file asks for, of one image of the catalog: for virtual machines, clouds,
containers, and to install on bare metal.

    name: web
    include: [../base.yaml]       # later wins; --preview shows what disagrees
    image: web:stable
    files:
      /etc/motd: {content: "hello\n", mode: 0644, owner: 0:0}
    outputs:
      kvm: {format: qcow2}
      pxe: {format: tree, register: catalog}    # the image web-pxe, which machines can install
      ec2: {format: raw, register: ec2, disk: {size: 4GiB}}

Each output becomes a file in the directory that --output names, here: web-kvm-20261120.1-amd64.qcow2. Its path is printed
at the end. With "register" it is handed to a target instead: "catalog" publishes it, and qemu, lxd, openstack and ec2 take
it with the credentials that they find; --target NAME=stack.yaml names others, by what the file says of its provider. What
is done already is not done again, and a build that was ended goes on.`,
		Example: "  griddle image build web.yaml --preview\n  griddle image build web.yaml --output /srv/disks\n  griddle image build web.yaml --profile small --target ec2=frankfurt.yaml",
		Args:    cobra.ExactArgs(1),
	}
	b.add(c)
	c.Flags().StringVarP(&dir, "output", "o", ".", "`DIR` in which the files are put; it is made where it is missing")
	c.Flags().BoolVar(&asJSON, "json", false, "print the steps as JSON")
	c.Flags().StringSliceVar(&profiles, "profile", nil, "use these `PROFILES` of the definition besides those that it uses itself")
	c.Flags().StringVar(&root, "root", "", "`DIR` that all files must be below (default the current one or, where DEFINITION is elsewhere, its own)")
	c.Flags().BoolVar(&preview, "preview", false, "print what would be made, and what parts of the definition disagree about; make nothing")
	c.RunE = func(c *cobra.Command, args []string) error {
		if dir == "json" || dir == "table" {
			return cli.Usagef("--output is a directory here: write --json for JSON, or --output ./%s", dir)
		}
		d, err := loadDefinition(args[0], root, profiles)
		if err != nil {
			return err
		}
		if preview {
			return d.Preview(e.Stdout)
		}
		builder, err := b.builder(c.Context())
		if err != nil {
			return err
		}
		builder.Out = dir
		if !asJSON {
			p := &buildProgress{w: e.Stderr}
			builder.Progress, builder.Cache.Progress = p.definition, p.part
			ctx, stop := context.WithCancel(c.Context())
			var running sync.WaitGroup
			running.Go(func() { p.run(ctx) })
			defer func() { stop(); running.Wait() }()
		}
		defer builder.Cache.Close()
		steps, err := builder.Build(c.Context(), d)
		var made []string
		for _, s := range steps {
			made = append(made, s.Result)
		}
		err = errors.Join(err, b.disks.Shrink(c.Context(), e, builder.Cache, made...))
		if errors.Is(err, diskimage.ErrNoKernel) {
			err = cli.WithHint(err, clouds.NoKernelHint)
		}
		return errors.Join(err, b.print(steps, builder.Cache, asJSON))
	}
	return c
}

// loadDefinition reads a definition and what it includes, all of it below dir; without one below the current directory or, where the
// definition is not in that, its own.
func loadDefinition(name, dir string, profiles []string) (*definition.Definition, error) {
	if dir == "" {
		if dir = "."; !filepath.IsLocal(name) {
			dir = filepath.Dir(name)
		}
	}
	file, err := filepath.Abs(name)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err == nil {
		file, err = filepath.Rel(dir, file)
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return definition.Load(root.FS(), filepath.ToSlash(file), profiles...)
}

// print writes a table of what is there, or JSON.
func (b *builds) print(steps []definition.Step, cache *diskimage.Cache, json bool) error {
	if json {
		return cli.WriteJSON(b.e.Stdout, steps)
	}
	w := tabwriter.NewWriter(b.e.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "OUTPUT\tSTATE\tWHAT\tRESULT")
	for _, s := range steps {
		what := string(s.Kind)
		if s.Kind != definition.KindFile {
			what += " " + s.What
		}
		result := s.Result
		switch {
		case s.State == definition.Failed:
			result, _, _ = strings.Cut(s.Error, "\n")
		case s.Kind == definition.KindDisk && s.State == definition.Done:
			disk, err := cache.Find(s.Result)
			if errors.Is(err, diskimage.ErrNotFound) {
				result = "collected since"
			} else if err != nil {
				return err
			} else {
				result = job.Bytes(disk.Size)
			}
		case s.Kind == definition.KindRegister:
			result = strings.TrimSpace(s.Name + " " + s.Result)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Output, s.State, what, result)
	}
	return w.Flush()
}
