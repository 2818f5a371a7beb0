package care

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
)

const recoverHelp = `usage: griddle-agent recover [--disk DISK] [list | boot ROOT | enter ROOT |
                             delete-root ROOT [--yes] | delete-image IMAGE [--yes] |
                             former-loader [--yes] | former-table [FILE] [--lose N,N] [--yes]]

Shows and repairs what this machine has installed.

  list           the roots and images of the pool; which root boots, and which one runs
  boot           let a root boot from the next start on
  enter          a shell in a root that does not run
  delete-root    delete a root; not the one that runs or boots, and not the last
  delete-image   delete an image; roots that were made of it stay
  former-loader  give the machine back to what it started by before Griddle; it
                 shows first what changes
  former-table   give a disk back the partition table that it had before a layout
                 changed it: the one in FILE, or the one that was kept; it shows
                 first what changes

  --disk DISK    the pool on this disk, such as /dev/sdb, and not that of this system
  --lose N,N     partitions of today, by number, that the table of before has not:
                 what is in them is lost
  --yes          do it without asking

Example: griddle-agent recover boot web-20261120.1@amd64
`

// recover is `griddle-agent recover`.
func (c *Command) recover(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("recover", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	disk, yes := flags.String("disk", "", ""), flags.Bool("yes", false, "")
	lose := flags.String("lose", "", "")
	var words []string
	for {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(c.Out, recoverHelp)
			return nil
		}
		if err != nil {
			return usage("%v\n\n%s", err, recoverHelp)
		}
		if args = flags.Args(); len(args) == 0 {
			break
		}
		words, args = append(words, args[0]), args[1:]
	}
	if len(words) == 0 && c.Menu != nil && *disk == "" {
		return c.Menu(ctx, "recover")
	}
	if len(words) == 0 {
		words = []string{"list"}
	}
	if isHelp(words[0]) {
		fmt.Fprint(c.Out, recoverHelp)
		return nil
	}
	if words[0] == "former-table" && len(words) <= 2 {
		return c.formerTable(strings.Join(words[1:], ""), *disk, *lose, *yes)
	}
	do, ok := map[string]func(context.Context, *pool.Pool, string, bool) error{"list": c.list, "boot": c.boot,
		"enter": c.enter, "delete-root": c.deleteRoot, "delete-image": c.deleteImage,
		"former-loader": c.formerLoader}[words[0]]
	alone := words[0] == "list" || words[0] == "former-loader"
	if want := map[bool]int{true: 1, false: 2}[alone]; !ok || len(words) != want {
		return usage("griddle-agent recover takes no %q\n\n%s", strings.Join(words, " "), recoverHelp)
	}
	p, err := c.Pool(*disk)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, p, words[len(words)-1], *yes), p.Close())
}

func (c *Command) list(_ context.Context, p *pool.Pool, _ string, _ bool) error {
	all, err := p.Read()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%-40s %-16s %s\n", "ROOT", "MADE (UTC)", "STATE")
	for _, r := range all.Roots {
		fmt.Fprintf(c.Out, "%-40s %-16s %s\n", pool.Label(r.Name), day(r.Created), r.State())
	}
	fmt.Fprintf(c.Out, "\n%-40s %-16s %s\n", "IMAGE", "MADE (UTC)", "ROOTS")
	for _, i := range all.Images {
		fmt.Fprintf(c.Out, "%-40s %-16s %d\n", pool.Label(i.Name), day(i.Created), len(i.Roots))
	}
	fmt.Fprintf(c.Out, "\n%s of %s are free\n", job.Bytes(all.Free), job.Bytes(all.Size))
	fmt.Fprintln(c.Out, all.NextStarts())
	return nil
}

func (c *Command) boot(_ context.Context, p *pool.Pool, name string, _ bool) error {
	if err := p.Boot(name); err != nil {
		return err
	}
	all, err := p.Read()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.Out, all.NextStarts())
	return nil
}

func (c *Command) enter(ctx context.Context, p *pool.Pool, name string, _ bool) error {
	s, err := p.System(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "This is a shell in the root %s. To leave it, type exit.\n", pool.Label(s.Name))
	return errors.Join(c.Shell(ctx, s), s.Close())
}

func (c *Command) deleteRoot(_ context.Context, p *pool.Pool, name string, yes bool) error {
	all, err := p.Read()
	if err != nil {
		return err
	}
	r, err := all.Root(name)
	if err == nil {
		err = all.MayDelete(r)
	}
	if err == nil {
		err = c.confirm(r.Lost(), r.Name, yes)
	}
	if err == nil {
		err = p.DeleteRoot(r.Name)
	}
	if err == nil {
		fmt.Fprintf(c.Out, "The root %s is deleted.\n", pool.Label(r.Name))
	}
	return err
}

func (c *Command) deleteImage(_ context.Context, p *pool.Pool, name string, yes bool) error {
	all, err := p.Read()
	if err != nil {
		return err
	}
	i, err := all.Image(name)
	if err == nil {
		err = all.MayDeleteImage(i)
	}
	if err == nil {
		err = c.confirm(i.Lost(), i.Name, yes)
	}
	if err == nil {
		err = p.DeleteImage(i.Name)
	}
	if err == nil {
		fmt.Fprintf(c.Out, "The image %s is deleted.\n", pool.Label(i.Name))
	}
	return err
}

// confirm shows what will be lost, and asks for the name.
func (c *Command) confirm(lost []string, name string, yes bool) error {
	fmt.Fprintln(c.Out, "THIS WILL BE LOST:")
	for _, l := range lost {
		fmt.Fprintln(c.Out, "  "+l)
	}
	if yes {
		return nil
	}
	fmt.Fprintf(c.Out, "To delete it, type its name (%s): ", pool.Label(name))
	line, err := bufio.NewReader(io.LimitReader(c.In, 4096)).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(c.Out)
		return errors.New("no name was typed: nothing was deleted; --yes deletes without asking")
	}
	if strings.TrimSpace(line) != pool.Label(name) {
		return errors.New("that is not its name: nothing was deleted")
	}
	return nil
}

func day(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Format("2006-01-02 15:04")
}
