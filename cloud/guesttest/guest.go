package guesttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"griddle/appliance/e2e/machinetest"
)

// Config is a guest's hardware.
type Config struct {
	Name  string   // of its files in Dir
	Dir   string   // where its console is written to NAME.console.log
	Disks []string // virtio disks in their order: *.qcow2, *.iso read-only, all else raw
	MAC   string
	Args  string // more words for the kernel's command line
}

// Guest is a virtual machine.
type Guest struct {
	cmd     *exec.Cmd
	done    <-chan struct{}
	console *machinetest.Transcript
}

// Start boots a guest from an image's kernel on the LAN's wire. The first disk has the root.
func Start(ctx context.Context, lan *LAN, image *Image, c Config) (*Guest, error) {
	log, err := os.Create(filepath.Join(c.Dir, c.Name+".console.log"))
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	args := []string{"netns", "exec", lan.name, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35",
		"-cpu", "max", "-smp", "2",
		"-m", "1024", "-display", "none", "-nodefaults", "-serial", "stdio", "-kernel", image.Kernel,
		"-initrd", image.Initrd, "-append", "root=LABEL=root rw console=ttyS0 net.ifnames=0 " + c.Args,
		"-netdev", "tap,id=n0,ifname=" + tap + ",script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=n0,romfile=,mac=" + c.MAC,
		"-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"}
	for _, d := range c.Disks {
		drive := "if=virtio,file=" + d
		switch filepath.Ext(d) {
		case ".qcow2":
		case ".iso":
			drive += ",format=raw,readonly=on"
		default:
			drive += ",format=raw"
		}
		args = append(args, "-drive", drive)
	}
	g := &Guest{cmd: exec.CommandContext(ctx, "ip", args...), console: machinetest.NewTranscript(c.Name)}
	g.cmd.Stdout = io.MultiWriter(log, g.console)
	g.cmd.Stderr = g.cmd.Stdout
	g.done, err = machinetest.Hold(g.cmd, func(error) {
		g.console.End(errors.New("the guest ended"))
		_ = log.Close()
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", c.Name, err), log.Close())
	}
	return g, nil
}

// Wait returns the next line of the console that contains one of the texts.
func (g *Guest) Wait(ctx context.Context, texts ...string) (string, error) {
	var any []string
	for _, text := range texts {
		any = append(any, regexp.QuoteMeta(text))
	}
	line, err := g.console.WaitWhole(ctx, strings.Join(any, "|"))
	return line.Text, err
}

// Console returns all lines until now.
func (g *Guest) Console() string { return g.console.Text() }

// Kill takes the guest's power and waits until it is gone.
func (g *Guest) Kill() {
	_ = g.cmd.Process.Kill()
	<-g.done
}
