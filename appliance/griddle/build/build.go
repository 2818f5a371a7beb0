// Package build is `griddle image build` and `griddle image builds`: it makes the disks and trees that a definition
// asks for.
package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	clouds "griddle/appliance/griddle/cloud"
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
	bar     *cli.Phases
}

func (b *builds) add(c *cobra.Command) {
	b.store.Add(c)
	b.disks.Add(c)
	c.Flags().StringToStringVar(&b.targets, "target", nil, "add the target `NAME=FILE`: the provider of the stack "+
		"file FILE")
}

// builder is what makes images, and remembers what it made.
func (b *builds) builder(ctx context.Context) (*definition.Builder, error) {
	state, err := cli.HomeDir(b.e, "XDG_STATE_HOME", filepath.Join(".local", "state"))
	if err != nil {
		return nil, err
	}
	if state == "" {
		return nil, errors.New("finding the directory of builds: HOME is not set")
	}
	cache, err := b.disks.Open(ctx, b.e)
	if err != nil {
		return nil, err
	}
	b.bar = b.e.Phases()
	cache.Warn = b.bar.Warn
	d := &definition.Builder{Dir: filepath.Join(state, "griddle", "builds"), Cache: cache,
		Targets: make(map[string]definition.Target)}
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
	var preview bool
	c := &cobra.Command{
		Use:   "build DEFINITION",
		Short: "Make disks and trees from an image, by a definition file",
		Long: `Make the disks and trees that the definition file asks for, from one image of the catalog: for virtual machines, clouds,
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

Each output becomes a file in the directory that --dir names, here web-kvm-20261120.1-amd64.qcow2. Its path is printed at
the end. With "register" it goes to a target instead: "catalog" publishes it, and qemu, lxd, openstack and ec2 take it with
the credentials that they find; --target NAME=stack.yaml adds others, with the provider of that stack file. Finished steps
are not repeated: run the command again to resume.`,
		Example: "  griddle image build web.yaml --preview\n" +
			"  griddle image build web.yaml --dir /srv/disks\n" +
			"  griddle image build web.yaml --profile small --target ec2=frankfurt.yaml",
		Args: cobra.ExactArgs(1),
	}
	b.add(c)
	c.Flags().StringVarP(&dir, "dir", "d", ".", "`DIR` for the files; it is created if it does not exist")
	_ = c.MarkFlagDirname("dir")
	c.Flags().StringSliceVar(&profiles, "profile", nil, "also use these `PROFILES` of the definition")
	c.Flags().StringVar(&root, "root", "", "`DIR` that all files must be below (default: the current one, or that "+
		"of DEFINITION if it is elsewhere)")
	c.Flags().BoolVar(&preview, "preview", false, "print what would be made and which parts of the definition "+
		"conflict, and make nothing")
	c.RunE = func(c *cobra.Command, args []string) error {
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
		if e.Notes() {
			p := &buildProgress{bar: b.bar}
			builder.Progress, builder.Cache.Progress, builder.Cache.Bytes = p.definition, p.part, p.bytes
			ctx, stop := context.WithCancel(c.Context())
			var running sync.WaitGroup
			running.Go(func() { p.run(ctx) })
			defer func() { stop(); running.Wait() }()
		}
		defer builder.Cache.Close()
		steps, err := builder.Build(c.Context(), d)
		b.bar.End()
		var made []string
		for _, s := range steps {
			made = append(made, s.Result)
		}
		err = errors.Join(err, b.disks.Shrink(c.Context(), e, builder.Cache, made...))
		if errors.Is(err, diskimage.ErrNoKernel) {
			err = cli.WithHint(err, clouds.NoKernelHint)
		}
		return errors.Join(err, b.print(steps, builder.Cache))
	}
	return c
}

// loadDefinition reads a definition and what it includes, all of it below dir. The default is the current directory
// or, if the definition is elsewhere, its own.
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
