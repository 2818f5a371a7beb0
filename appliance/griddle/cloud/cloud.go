// Package cloud is `griddle cloud`: it creates and manages the servers of a stack file.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/firstboot"
	"griddle/cloud/login"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
	"griddle/cloud/yamltree"
)

func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("cloud", "Create and manage the servers of a stack file",
		"Create and manage the servers of a stack file: as QEMU processes on this computer, as LXD\n"+
			"containers, or in a cloud, from images of the catalog, secured at their first boot.\n\n"+
			"Start with `griddle cloud init`, then `plan`, then `up`.")
	g := &Commands{E: e}
	c.PersistentFlags().StringVar(&g.File, "file", "stack.yaml", "stack `FILE`")
	c.PersistentFlags().StringVar(&g.state, "stacks", "", "`DIR` with the state of all stacks (default "+
		"~/.local/state/griddle/cloud)")
	_ = c.MarkPersistentFlagFilename("file", "yaml", "yml")
	_ = c.MarkPersistentFlagDirname("stacks")
	c.AddCommand(g.initCommand(), g.checkCommand(), g.planCommand(), g.upCommand(), g.upgradeCommand(),
		g.scaleCommand(), g.listCommand(), g.statusCommand(), g.sshCommand(),
		g.runCommand(), g.controlCommand(provider.Start, "Start servers"), g.controlCommand(provider.Stop,
			"Shut servers down"), g.controlCommand(provider.Reboot, "Reboot servers"),
		g.consoleCommand(), g.userDataCommand(), g.auditCommand(), g.deleteCommand(), g.adoptCommand(),
		g.collectCommand(), g.cacheCommand(), g.schemaCommand())
	return c
}

// Commands is what the commands of the group share.
type Commands struct {
	E           *cli.Env
	File, state string
	store       cli.StoreFlags
	disks       DiskFlags
}

// buildFlags are those of commands that may need images.
func (g *Commands) buildFlags(c *cobra.Command) {
	g.store.Add(c)
	g.disks.Add(c)
}

// Read reads the stack file.
func (g *Commands) Read() (*stack.Stack, error) {
	b, err := readFile(g.File, yamltree.MaxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.WithHint(fmt.Errorf("reading the stack: there is no file %s", g.File),
			"Give the file with --file, or make one with `griddle cloud init`.")
	}
	if err != nil {
		return nil, err
	}
	return stack.Parse(g.File, b)
}

// readFile reads at most so many bytes.
func readFile(name string, most int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() || i.Size() > int64(most) {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", name, most)
	}
	return os.ReadFile(name)
}

// local gives the path of a file that the stack file names: relative to it, or to the home directory.
func (g *Commands) local(name string) (string, error) {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		home, err := userHome(g.E)
		return filepath.Join(home, rest), err
	}
	if filepath.IsAbs(name) {
		return name, nil
	}
	return filepath.Join(filepath.Dir(g.File), name), nil
}

// variable gives one of the environment.
func (g *Commands) variable(name string) (string, bool) {
	v := g.E.Getenv(name)
	return v, v != ""
}

// userHome is the home directory.
func userHome(e *cli.Env) (string, error) {
	if home := e.Getenv("HOME"); filepath.IsAbs(home) {
		return home, nil
	}
	return "", errors.New("finding the home directory: HOME is not set")
}

// readLocal reads a file that the stack file names.
func (g *Commands) readLocal(name string) ([]byte, error) {
	path, err := g.local(name)
	if err != nil {
		return nil, err
	}
	return readFile(path, 16<<20)
}

// Folder is where everything is kept; the provider's own files are below it, too.
func (g *Commands) Folder() (string, error) {
	if g.state != "" {
		return filepath.Abs(g.state)
	}
	if dir := g.E.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "griddle", "cloud"), nil
	}
	home, err := userHome(g.E)
	return filepath.Join(home, ".local", "state", "griddle", "cloud"), err
}

// session is a stack, and all that works on it.
type session struct {
	*cloud.Cloud
	s      *stack.Stack
	keys   *login.Keys
	shell  *login.Shell
	images *catalogImages
}

// open prepares work on the file's stack.
func (g *Commands) open(ctx context.Context, command string) (*session, error) {
	s, err := g.Read()
	if err != nil {
		return nil, err
	}
	dir, err := g.Folder()
	if err != nil {
		return nil, err
	}
	p, err := OpenProvider(ctx, g, s, dir)
	if err != nil {
		return nil, cli.WithHint(err, "The provider is set in %s.", g.File)
	}
	images := &catalogImages{g: g, s: s}
	x := &session{s: s, images: images, Cloud: &cloud.Cloud{
		State:    state.Stacks{Dir: filepath.Join(dir, "stacks"), Identity: filepath.Join(dir, "identity.txt")},
		Secrets:  state.Secrets{Base: filepath.Dir(g.File), Env: g.variable},
		Provider: p, Command: "griddle cloud " + command, Images: images}}
	if x.keys, err = login.Open(filepath.Join(dir, "login"), x.State.Disk); err != nil {
		return nil, err
	}
	x.shell = &login.Shell{Keys: x.keys}
	x.Shell, x.Key = x.shell, x.keys.Public()
	boot := g.firstBoot(s, x.keys, p.Features())
	x.Render, x.Declared = firstboot.New(s, boot), firstboot.Declared(s, boot)
	return x, nil
}

// report writes what happens to w. With --quiet it writes failures alone, for their logs' paths.
func (g *Commands) report(w io.Writer) func(cloud.Event) {
	printed := cloud.Printer(w)
	return func(e cloud.Event) {
		if e.Err != nil || !g.E.Out.Quiet {
			printed(e)
		}
	}
}

// firstBoot are the options of the user-data of s.
func (g *Commands) firstBoot(s *stack.Stack, keys *login.Keys, f provider.Features) firstboot.Options {
	return firstboot.Options{ReadFile: g.readLocal, Login: keys.Public(), Limit: f.UserData,
		Tree:    f.Format == provider.Tree,
		Gzip:    f.Name == "ec2", // has the smallest limit, and hands bytes on as they are
		HostKey: func(server string) (string, error) { return keys.HostPrivate(s.Name, server) }}
}

func (g *Commands) userDataCommand() *cobra.Command {
	var conflicts bool
	c := &cobra.Command{
		Use:   "userdata SERVER",
		Short: "Print the user-data of a server",
		Long: "Print the user-data that a server gets for its first boot, merged from its parts. References are\n" +
			"printed as they are in the stack file, so that no secret is shown. With --conflicts, print the\n" +
			"values on which parts conflict, and the one that wins.",
		Example: "  griddle cloud userdata head-1\n  griddle cloud userdata head-1 --conflicts",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: g.one(),
	}
	c.Flags().BoolVar(&conflicts, "conflicts", false, "print only the conflicts")
	cli.Raw(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		s, err := g.Read()
		if err != nil {
			return err
		}
		for _, x := range s.Servers {
			if x.Name != args[0] {
				continue
			}
			o := firstboot.Options{ReadFile: g.readLocal, Tree: s.Provider == "lxd"}
			written := func(r stack.Reference) (string, error) { return r.String(), nil }
			if !conflicts {
				b, err := firstboot.New(s, o)(x, written)
				if err == nil {
					_, err = g.E.Stdout.Write(b)
				}
				return err
			}
			m, err := firstboot.Merge(s, x, o, written)
			if err != nil {
				return err
			}
			for _, c := range m.Conflicts {
				fmt.Fprintln(g.E.Stdout, c)
			}
			return nil
		}
		return cli.Usagef("the stack %s has no server %q", s.Name, args[0])
	}
	return c
}

func (g *Commands) schemaCommand() *cobra.Command {
	return cli.Raw(&cobra.Command{Use: "schema", Short: "Print the JSON Schema of stack files",
		Example: "  griddle cloud schema >stack.schema.json", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := g.E.Stdout.Write(stack.Schema())
			return err
		}})
}
