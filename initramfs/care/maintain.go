package care

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"griddle/initramfs/maintain"
)

// maintain is `griddle-agent maintain`.
func (c *Command) maintain(ctx context.Context, args []string) error {
	if len(args) == 0 && c.Menu != nil {
		return c.Menu(ctx, "maintain")
	}
	if len(args) == 0 || isHelp(args[0]) {
		fmt.Fprint(c.Out, maintainHelp())
		return nil
	}
	t, ok := maintain.Find(args[0])
	if !ok {
		return usage("griddle-agent maintain has no %q; griddle-agent maintain --help lists what it has", args[0])
	}
	if len(args) > 1 && isHelp(args[1]) {
		fmt.Fprint(c.Out, taskHelp(t))
		return nil
	}
	v, err := c.values(t, args[1:])
	if err != nil {
		return err
	}
	p, err := c.Pool("")
	if err != nil {
		return err
	}
	defer p.Close()
	m, done, err := c.Machine(p)
	if err != nil {
		return err
	}
	said, err := t.Do(ctx, m, v)
	for _, s := range said {
		fmt.Fprintln(c.Out, s)
	}
	return errors.Join(err, done())
}

func isHelp(arg string) bool {
	return arg == "--help" || arg == "-h" || arg == "-help" || arg == "help"
}

// values reads a task's values from the command line, and asks for passwords.
func (c *Command) values(t maintain.Task, args []string) (maintain.Values, error) {
	flags := flag.NewFlagSet(t.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	v, first := maintain.Values{}, []string{}
	ask := map[string]*bool{}
	for _, f := range t.Fields {
		set := func(text string) error { v[f.Name] = text; return nil }
		fromFile := func(name string) error {
			text, err := c.file(name)
			v[f.Name] = text
			return err
		}
		switch {
		case f.First:
			first = append(first, f.Name)
		case f.Secret:
			ask[f.Name] = flags.Bool(f.Name, false, "")
			flags.Func(f.Name+"-file", "", fromFile)
		case f.File:
			flags.Func(f.Name, "", fromFile)
		default:
			flags.Func(f.Name, "", set)
		}
	}
	for {
		if err := flags.Parse(args); err != nil {
			return nil, usage("%v\n\n%s", err, taskHelp(t))
		}
		if args = flags.Args(); len(args) == 0 {
			break
		}
		if len(first) == 0 {
			return nil, usage("%q is one argument too many\n\n%s", args[0], taskHelp(t))
		}
		v[first[0]], first, args = args[0], first[1:], args[1:]
	}
	for _, f := range t.Fields {
		if !f.Secret || v[f.Name] != "" || !f.Required && !*ask[f.Name] {
			continue
		}
		var err error
		if v[f.Name], err = c.password(f); err != nil {
			return nil, err
		}
	}
	if err := t.Check(v); err != nil {
		return nil, usage("%v\n\n%s", err, taskHelp(t))
	}
	return v, nil
}

// file reads a file with one line; "-" is the input.
func (c *Command) file(name string) (string, error) {
	r := c.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	return strings.TrimRight(string(b), "\r\n"), err
}

// password asks twice.
func (c *Command) password(f maintain.Field) (string, error) {
	if c.Secret == nil {
		return "", usage("%s: there is no terminal to ask at: use --%s-file FILE, or - for the input", f.Label, f.Name)
	}
	one, err := c.Secret(f.Label + " (it is not shown): ")
	if err != nil {
		return "", err
	}
	two, err := c.Secret("Once more: ")
	if err != nil {
		return "", err
	}
	if one != two {
		return "", errors.New("the two are not the same: nothing was changed")
	}
	return one, nil
}

func maintainHelp() string {
	var b strings.Builder
	b.WriteString("usage: griddle-agent maintain [TASK ...]\n\n" +
		"Changes this system. Without a task it opens a menu.\n\n")
	for _, t := range maintain.Tasks() {
		fmt.Fprintf(&b, "  %-14s %s\n", t.Name, t.Title)
	}
	return b.String() + "\ngriddle-agent maintain TASK --help describes one.\n"
}

func taskHelp(t maintain.Task) string {
	var b strings.Builder
	b.WriteString("usage: griddle-agent maintain " + t.Name)
	for _, f := range t.Fields {
		if f.First {
			b.WriteString(" " + strings.ToUpper(f.Name))
		}
	}
	b.WriteString(" [flags]\n\n" + t.About + "\n\n")
	for _, f := range t.Fields {
		switch {
		case f.First:
			fmt.Fprintf(&b, "  %-24s %s: %s\n", strings.ToUpper(f.Name), f.Label, f.Help)
		case f.Secret:
			fmt.Fprintf(&b, "  %-24s ask for it: %s\n", "--"+f.Name, f.Help)
			fmt.Fprintf(&b, "  %-24s read it from a file; - is the input\n", "--"+f.Name+"-file FILE")
		case f.File:
			fmt.Fprintf(&b, "  %-24s %s; - is the input\n", "--"+f.Name+" FILE", f.Help)
		default:
			fmt.Fprintf(&b, "  %-24s %s\n", "--"+f.Name+" VALUE", f.Help)
		}
	}
	if t.Example != "" {
		fmt.Fprintf(&b, "\nExample: griddle-agent maintain %s %s\n", t.Name, t.Example)
	}
	return b.String()
}
