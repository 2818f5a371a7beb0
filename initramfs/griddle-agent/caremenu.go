package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"griddle/initramfs/care"
	"griddle/initramfs/pool"
	"griddle/initramfs/resident"
	pages "griddle/tui/care"
	"griddle/tui/frame"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/term"
)

// tablesFolder has the partition tables that the disks had before the layout of this boot's job, for the rescue shell.
const tablesFolder = "/run/griddle/tables"

// caring runs the commands maintain and recover of an installed system.
func caring(ctx context.Context, args []string) int {
	c := care.Here()
	c.Tables = []string{tablesFolder, filepath.Join(resident.Dir, pool.Former)}
	c.UUID = identity(slog.New(slog.DiscardHandler), nil).UUID
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		c.Menu = func(ctx context.Context, what string) error { return menu(ctx, c, what == "recover") }
	}
	return c.Run(ctx, args)
}

// menu opens the pages on a terminal of the installed system.
func menu(ctx context.Context, c *care.Command, recovery bool) error {
	p, err := c.Pool("") // the errors of a machine that has no pool are for the terminal
	if err != nil {
		return err
	}
	if err := p.Close(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var program *tea.Program
	k := &carer{ctx: ctx, log: slog.New(slog.NewTextHandler(io.Discard, nil)), machine: c.Machine,
		send: func(m tea.Msg) { program.Send(m) },
		places: func() ([]pool.Place, error) {
			place, err := pool.Here()
			return []pool.Place{place}, err
		},
	}
	lend := func(greeting string, use func() error) error {
		if err := program.ReleaseTerminal(); err != nil {
			return err
		}
		fmt.Printf("\n%s \"exit\" goes back.\n\n", greeting)
		return errors.Join(use(), program.RestoreTerminal())
	}
	k.enter = func(ctx context.Context, s *pool.System) error {
		return lend("This is a shell in the root "+pool.Label(s.Name)+".", func() error { return c.Shell(ctx, s) })
	}
	k.here = func(ctx context.Context) error {
		return lend("This is a shell.", func() error {
			shell := exec.CommandContext(ctx, "/bin/sh")
			if bash, err := exec.LookPath("bash"); err == nil {
				shell = exec.CommandContext(ctx, bash, "-l")
			}
			shell.Stdin, shell.Stdout, shell.Stderr = os.Stdin, os.Stdout, os.Stderr
			_ = shell.Run() // how a shell ended is not an error
			return nil
		})
	}
	look := frame.LookOf(os.Getenv("TERM"), os.Getenv("NO_COLOR") != "")
	m := pages.NewAlone(pages.New("Griddle", frame.NewTheme(look), forms(), k.actions()), recovery)
	program = tea.NewProgram(m, tea.WithContext(ctx), tea.WithAltScreen())
	_, err = program.Run()
	return err
}
