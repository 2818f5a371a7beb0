package guesttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	cmd  *exec.Cmd
	done <-chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when a line came
	lines   []string
	next    int // where Wait goes on
}

// Start boots a guest from an image's kernel on the LAN's wire. The first disk has the root.
func Start(ctx context.Context, lan *LAN, image *Image, c Config) (*Guest, error) {
	log, err := os.Create(filepath.Join(c.Dir, c.Name+".console.log"))
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	args := []string{"netns", "exec", lan.name, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2",
		"-m", "1024", "-display", "none", "-nodefaults", "-serial", "stdio", "-kernel", image.Kernel, "-initrd", image.Initrd,
		"-append", "root=LABEL=root rw console=ttyS0 net.ifnames=0 " + c.Args,
		"-netdev", "tap,id=n0,ifname=" + tap + ",script=no,downscript=no", "-device", "virtio-net-pci,netdev=n0,romfile=,mac=" + c.MAC,
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
	g := &Guest{cmd: exec.CommandContext(ctx, "ip", args...), changed: make(chan struct{})}
	reader, writer := io.Pipe()
	g.cmd.Stdout, g.cmd.Stderr = io.MultiWriter(log, writer), io.MultiWriter(log, writer)
	if g.done, err = Hold(g.cmd); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", c.Name, err), log.Close())
	}
	go func() {
		<-g.done
		_ = writer.Close()
		_ = log.Close()
	}()
	go g.read(reader)
	return g, nil
}

func (g *Guest) read(r io.Reader) {
	s := bufio.NewReader(r)
	for {
		line, err := s.ReadString('\n')
		g.mu.Lock()
		g.lines = append(g.lines, strings.TrimRight(line, "\r\n"))
		close(g.changed)
		g.changed = make(chan struct{})
		g.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Wait returns the next line of the console that contains one of the texts.
func (g *Guest) Wait(ctx context.Context, texts ...string) (string, error) {
	for {
		g.mu.Lock()
		for ; g.next < len(g.lines); g.next++ {
			for _, text := range texts {
				if line := g.lines[g.next]; strings.Contains(line, text) {
					g.next++
					g.mu.Unlock()
					return line, nil
				}
			}
		}
		changed, tail := g.changed, strings.Join(g.lines[max(0, len(g.lines)-25):], "\n")
		g.mu.Unlock()
		select {
		case <-changed:
		case <-g.done:
			return "", errors.New("the guest ended; its console's last lines:\n" + tail)
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for %q on the console: %w; its last lines:\n%s", texts, ctx.Err(), tail)
		}
	}
}

// Console returns all lines until now.
func (g *Guest) Console() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.lines, "\n")
}

// Kill takes the guest's power and waits until it is gone.
func (g *Guest) Kill() {
	_ = g.cmd.Process.Kill()
	<-g.done
}
