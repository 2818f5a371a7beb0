// Bench measures, on machines of their own, what people wait for: a network boot, an install, an update. Each figure is
// printed beside its peer of the same run, with the ratio. It prints one line for each; `make bench` runs it.
//
//	boot.go     what the boot image weighs, and how long it is from power-on to the agent's screen
//	install.go  an install, beside dd of the same bytes to the same disk and two boots
//	update.go   an update by a delta, beside an install of the same image on the same machine; a new root by kexec,
//	            beside one by restart
//
// All machines have one processor, and one runs at a time.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"griddle/appliance/e2e"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

const (
	bootDir = "build/boot"
	// limit ends a measurement that hangs.
	limit = time.Hour
)

func run(ctx context.Context, stdout io.Writer) (err error) {
	if err := weigh(stdout); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	room, err := e2e.Open(ctx, e2e.Options{Binary: "bin/griddle", BootDir: bootDir})
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, room.Close()); err == nil {
			err = room.Remove()
		} else {
			err = fmt.Errorf("%w; the logs and disks are in %s", err, room.Dir)
		}
	}()
	if err := room.LANServer(ctx); err != nil {
		return err
	}
	l := &lab{room: room, site: room.Site(e2e.Proxy), out: stdout}
	// One after the other: a second machine would be measured with the first.
	for _, step := range []func(context.Context) error{l.boots, l.install, l.floor, l.updates} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lab is where all is measured.
type lab struct {
	room *e2e.Room
	site *e2e.Site
	out  io.Writer

	m         *e2e.Machine  // that is installed
	images    []string      // its image, and the next version
	installed *e2e.Snapshot // the machine, installed and off
	took      e2e.Times     // of the install
	byPhase   []e2e.Spent
	begun     time.Time // when it was switched on last
}

func (l *lab) say(format string, args ...any) { fmt.Fprintf(l.out, "figure: "+format+"\n", args...) }

// serve starts the server, whose updates start the new root by kexec or not.
func (l *lab) serve(ctx context.Context, kexec string) error {
	file := l.room.Dir + "/griddle.yaml"
	if err := os.WriteFile(file, []byte("check_in_every: 10s\nkexec: "+kexec+"\n"), 0o600); err != nil {
		return err
	}
	return l.site.Start(ctx, "--config", file, "--unknown-machines", "agent")
}
