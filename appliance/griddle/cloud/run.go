package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
)

func (g *Commands) runCommand() *cobra.Command {
	var p cloud.Pick
	var names []string
	c := &cobra.Command{
		Use:   "run COMMAND...",
		Short: "Run a command on several servers",
		Long: "Run a command on the servers that flags choose, in parallel, and print their output as it comes,\n" +
			"each line after the server's name. The exit code is 0 if it was 0 on all servers.",
		Example: "  griddle cloud run --all uptime\n" +
			"  griddle cloud run --on web-1,web-2 sudo systemctl restart nginx",
		Args: cobra.MinimumNArgs(1),
	}
	pickFlags(c, &p)
	c.Flags().StringSliceVar(&names, "on", nil, "the servers with these `NAMES`")
	cli.CompleteFlag(c, "on", g.servers)
	c.Flags().SetInterspersed(false)
	c.RunE = func(c *cobra.Command, args []string) error {
		x, err := g.open(c.Context(), "run")
		if err != nil {
			return err
		}
		p.Servers = names
		targets, err := x.Targets(c.Context(), x.s.Name, p)
		if err != nil {
			return err
		}
		return runOn(c.Context(), g.E, x, targets, strings.Join(args, " "))
	}
	return cli.Raw(c)
}

// runOn runs a command on all targets, at most sixteen at a time, and prints their output as it comes.
func runOn(ctx context.Context, e *cli.Env, x *session, targets []cloud.Target, command string) error {
	failed := make([]error, len(targets))
	turn := make(chan struct{}, 16)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			out := prefixed{to: e.Stdout, prefix: t.Server + ": ", mu: &mu}
			errs := prefixed{to: e.Stderr, prefix: t.Server + ": ", mu: &mu}
			exit, err := x.shell.Stream(ctx, t, command, nil, &out, &errs)
			err = errors.Join(err, out.end(), errs.end())
			if err == nil && exit != 0 {
				err = fmt.Errorf("%s: exit status %d", t.Server, exit)
			}
			failed[i] = err
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// prefixed writes whole lines as they come, each with a prefix. Several may write to the same place with one mu.
type prefixed struct {
	to     io.Writer
	prefix string
	mu     *sync.Mutex
	line   []byte // that has not ended
}

// maxLine is after how many bytes a line is taken for ended.
const maxLine = 64 << 10

// Write implements io.Writer.
func (p *prefixed) Write(b []byte) (n int, err error) {
	n = len(b)
	for len(b) > 0 && err == nil {
		part, rest, ended := bytes.Cut(b, []byte("\n"))
		part = part[:min(len(part), maxLine-len(p.line))]
		p.line = append(p.line, part...)
		switch {
		case len(p.line) == maxLine:
			b = b[len(part):]
			err = p.end()
		case ended:
			b = rest
			err = p.put()
		default:
			b = nil
		}
	}
	return n, err
}

// end writes what has no line's end.
func (p *prefixed) end() error {
	if len(p.line) == 0 {
		return nil
	}
	return p.put()
}

func (p *prefixed) put() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprintf(p.to, "%s%s\n", p.prefix, bytes.TrimRight(p.line, "\r"))
	p.line = p.line[:0]
	return err
}
