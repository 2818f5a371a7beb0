package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"griddle/appliance/e2e"
)

// escape is Ctrl-], as telnet has it: no screen of ours uses it.
const escape = 0x1d

// byHand switches a machine on that has no job, and hands its serial console to the terminal.
func byHand(ctx context.Context, room *e2e.Room, firmware e2e.Firmware, stdin *os.File, stdout io.Writer) error {
	if !term.IsTerminal(int(stdin.Fd())) {
		return errors.New("attaching this terminal to a machine: standard input is not a terminal")
	}
	container, err := room.Container(ctx)
	if err != nil {
		return err
	}
	site := room.Site(e2e.Proxy)
	if _, err := site.PublishTwice(ctx, container); err != nil {
		return err
	}
	if err := room.LANServer(ctx); err != nil {
		return err
	}
	if err := site.Start(ctx, "--unknown-machines", "agent"); err != nil {
		return err
	}
	disk, err := room.MakeDisk("byhand", diskSize)
	if err != nil {
		return err
	}
	m, err := room.Machine(ctx,
		e2e.Hardware{Name: "byhand", Firmware: firmware, Disks: []e2e.Disk{{File: disk, Serial: "DEMO-1"}}})
	if err != nil {
		return err
	}
	if err := m.PowerOn(ctx); err != nil {
		return err
	}
	fmt.Fprintln(stdout,
		"\nThis is the serial console of a blank machine. Its screen appears in about a minute. Make the terminal\n"+
			"80x24 or larger. Log in to the installed system as root, password "+e2e.RootPassword+
			". Press Ctrl-] to switch the machine off and end the demo.")
	return attach(ctx, m, stdin, stdout)
}

// attach carries keys and screen between the terminal and the machine until the escape key, the
// machine's end, or ctx's.
func attach(ctx context.Context, m *e2e.Machine, stdin *os.File, stdout io.Writer) error {
	before, err := term.MakeRaw(int(stdin.Fd()))
	if err != nil {
		return fmt.Errorf("attaching this terminal to a machine: %w", err)
	}
	defer func() {
		m.Console().Attach(nil)
		// Out of the alternate screen, cursor on, colours off: the machine may have left them anyhow.
		fmt.Fprint(stdout, "\x1b[?1049l\x1b[?25h\x1b[0m\r\n")
		_ = term.Restore(int(stdin.Fd()), before)
	}()
	m.Console().Attach(stdout)
	keys := make(chan error, 1)
	go func() {
		buf := make([]byte, 64)
		for {
			n, err := stdin.Read(buf)
			for i, c := range buf[:n] {
				if c == escape {
					n, err = i, io.EOF
					break
				}
			}
			if n > 0 {
				if sendErr := m.Console().Send(string(buf[:n])); sendErr != nil {
					err = sendErr
				}
			}
			if err != nil {
				keys <- err
				return
			}
		}
	}()
	off := make(chan error, 1)
	go func() { off <- m.WaitOff(ctx) }()
	select {
	case err := <-keys:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	case err := <-off:
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}
