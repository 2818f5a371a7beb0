package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"griddle/appliance/e2e"
)

const (
	diskSize = 4 << 30
	serial   = "BENCH"
	// installed is the name of the machine that is installed, and of what is kept of it and its server.
	installed = "installed"
	// goal is how long an install may take, by its floor.
	goal = 1.15
)

// install installs the demo's template on a blank disk, and keeps the machine as it is then.
func (l *lab) install(ctx context.Context) error {
	container, err := l.room.Container(ctx)
	if err != nil {
		return err
	}
	versions, err := l.site.PublishTwice(ctx, container)
	if err != nil {
		return err
	}
	for _, v := range versions {
		l.images = append(l.images, v.Ref)
	}
	if err := l.serve(ctx, "never"); err != nil {
		return err
	}
	disk, err := l.room.MakeDisk(installed, diskSize)
	if err != nil {
		return err
	}
	if l.m, err = l.room.Machine(ctx, e2e.Hardware{Name: installed, Firmware: e2e.BIOS,
		Disks: []e2e.Disk{{File: disk, Serial: serial}}}); err != nil {
		return err
	}
	if err := l.site.Install(ctx, l.m, l.images[0], "--disk", "serial:"+serial); err != nil {
		return err
	}
	if err := l.m.PowerOn(ctx); err != nil {
		return err
	}
	defer l.m.PowerCut()
	if l.took, err = l.site.Watch(ctx, l.m); err != nil {
		return err
	}
	all, err := l.site.Journal(ctx, l.m)
	if err != nil {
		return err
	}
	l.byPhase = e2e.Phases(all)
	return l.keep(ctx)
}

// keep switches the installed machine off, after its service has checked in, and keeps it.
func (l *lab) keep(ctx context.Context) error {
	known, err := l.site.Machine(ctx, l.m)
	if err != nil {
		return err
	}
	if err := l.site.Log.WaitCount(ctx, `msg="service checks in" machine=`+known.Name+` `, 1); err != nil {
		return err
	}
	if err := l.m.Login(ctx); err != nil {
		return err
	}
	if err := l.m.Console().Send("poweroff\r"); err != nil {
		return err
	}
	if err := l.m.WaitOff(ctx); err != nil {
		return err
	}
	if err := l.site.Stop(ctx); err != nil {
		return err
	}
	if l.installed, err = l.m.Snapshot(ctx, installed); err != nil {
		return err
	}
	return l.site.Keep(ctx, installed)
}

// floor measures what no install of these bytes can do without: a boot from the network, dd of what the installed disk
// has to a blank one, and a boot from the disk.
func (l *lab) floor(ctx context.Context) error {
	again, err := l.installed.Machine(ctx, "again")
	if err != nil {
		return err
	}
	source := l.room.Dir + "/bytes.img"
	size, err := written(l.m.Disks[0].File, source)
	if err != nil {
		return err
	}
	blank, err := l.room.MakeDisk("floor", diskSize)
	if err != nil {
		return err
	}
	m, err := l.room.Machine(ctx, e2e.Hardware{Name: "floor", Firmware: e2e.BIOS,
		Disks: []e2e.Disk{{File: blank, Serial: "FLOOR"}, {File: source, Serial: "BYTES"}}})
	if err != nil {
		return err
	}
	if err := l.serve(ctx, "never"); err != nil {
		return err
	}
	_, menu, err := powerOn(ctx, m)
	if err != nil {
		return err
	}
	defer m.PowerCut()
	writing, err := dd(ctx, m)
	if err != nil {
		return err
	}
	m.PowerCut()
	if err := again.PowerOn(ctx); err != nil {
		return err
	}
	defer again.PowerCut()
	boot, err := again.WaitLogin(ctx)
	if err != nil {
		return err
	}
	least := menu + writing + boot
	l.say("install: power-on to login prompt %.1f s; its floor %.1f s: boot from the network %.1f s, dd of %.0f MB "+
		"%.1f s, boot from the disk %.1f s; ratio %.2f (goal %.2f; software emulation)", l.took.Login.Seconds(),
		least.Seconds(), menu.Seconds(), float64(size)/1e6, writing.Seconds(), boot.Seconds(),
		l.took.Login.Seconds()/least.Seconds(), goal)
	l.say("install, where the time goes: agent %.1f s; %s; restart %.1f s, first boot %.1f s", l.took.Agent.Seconds(),
		e2e.PhaseLine(l.byPhase), (l.took.Restart - l.took.Done).Seconds(), (l.took.Login - l.took.Restart).Seconds())
	return l.site.Stop(ctx)
}

// dd copies the second disk of a machine, on which the agent shows its menu, to the first one.
func dd(ctx context.Context, m *e2e.Machine) (time.Duration, error) {
	const prompt = `^griddle:.*# `
	if err := m.Console().Send("s"); err != nil {
		return 0, err
	}
	if _, err := m.Console().Wait(ctx, prompt); err != nil {
		return 0, err
	}
	begun := time.Now()
	// The shell makes the word, so that the echo of what is typed does not look like it.
	if err := m.Console().Send("dd if=/dev/vdb of=/dev/vda bs=1M && sync && echo wri''tten\r"); err != nil {
		return 0, err
	}
	_, err := m.Console().Wait(ctx, `^written`)
	return time.Since(begun), err
}

// written makes a file of all bytes that a sparse file has, and says how many they are.
func written(sparse, to string) (n int64, err error) {
	in, err := os.Open(sparse)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for end := int64(0); ; {
		begin, err := in.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return n, nil
		}
		if err == nil {
			end, err = in.Seek(begin, unix.SEEK_HOLE)
		}
		if err != nil {
			return n, fmt.Errorf("looking for the bytes of %s: %w", sparse, err)
		}
		some, err := io.Copy(out, io.NewSectionReader(in, begin, end-begin))
		if n += some; err != nil {
			return n, err
		}
	}
}
