//go:build torture

package powercut

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
)

const (
	diskSize = 4 << 30
	// limit ends a case that hangs, with the machine's last lines.
	limit = 15 * time.Minute
)

// bed is a room with one machine, and what its cases begin with.
type bed struct {
	*testing.T // of all cases of a firmware
	firmware   e2e.Firmware
	room       *e2e.Room
	site       *e2e.Site

	once    sync.Once // of make, which the first case that runs calls
	before  Before
	runs    *e2e.Snapshot // the machine runs the old image, and starts from its disk
	network *e2e.Snapshot // the boot image begins to run
}

// state is the name of the server's state at the moment of the snapshots.
const state = "before"

// makeApart is make for the test of a case, which it does not end.
func (b *bed) makeApart() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.make()
	}()
	<-done
}

// make installs a machine and takes the snapshots. network is nil if that failed.
func (b *bed) make() {
	t, firmware := b.T, b.firmware
	ctx, cancel := context.WithTimeout(t.Context(), 3*limit)
	defer cancel()
	b.room = e2etest.Open(t)
	b.site = b.room.Site(e2e.Proxy)
	must(t, b.publish(ctx))
	must(t, b.room.LANServer(ctx))
	must(t, b.site.Start(ctx, "--config", b.config(true)))
	disk, err := b.room.MakeDisk("disk", diskSize)
	must(t, err)
	other, _ := e2etest.OtherDisk(t, b.room, "OTHER")
	m, err := b.room.Machine(ctx, e2e.Hardware{Name: string(firmware), Firmware: firmware,
		Disks: []e2e.Disk{{File: disk, Serial: "CUT"}, other}})
	must(t, err)
	must(t, b.site.Install(ctx, m, b.before.Image, "--disk", "serial:CUT"))
	must(t, m.PowerOn(ctx))
	defer m.PowerCut()
	_, err = b.probe(ctx, m)
	must(t, err)
	b.Log("the machine is installed")
	m.PowerCut()

	m.DiskFirst = true
	must(t, m.PowerOn(ctx))
	b.before.Said, err = b.probe(ctx, m)
	must(t, err)
	must(t, b.heard(ctx, m, b.before.Boot))
	b.runs, err = m.Snapshot(ctx, "runs")
	must(t, err)
	b.site.Kill()
	must(t, b.site.Keep(ctx, state))

	// A machine with an order starts the boot image.
	must(t, b.site.Start(ctx, "--config", b.config(true)))
	m, err = b.runs.Off().Machine(ctx, string(firmware)+"-network")
	must(t, err)
	m.DiskFirst = false
	must(t, b.site.Order(ctx, m, b.before.Next))
	must(t, m.PowerOn(ctx))
	defer m.PowerCut()
	_, err = m.Console().Wait(ctx, `Linux version `)
	must(t, err)
	b.network, err = m.Snapshot(ctx, "network")
	must(t, err)
	b.site.Kill()
	b.Logf("before each power cut:\n%v", b.before.Said)
}

// heard waits until the server has heard of a start.
func (b *bed) heard(ctx context.Context, m *e2e.Machine, boot string) error {
	for n := 1; ; n++ {
		known, err := b.site.Machine(ctx, m)
		if err != nil || known.Service != nil && known.Service.Boot == boot {
			return err
		}
		if err := b.site.Log.WaitCount(ctx, `msg="service checks in" `, n); err != nil {
			return err
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// publish publishes the old image and the new one.
func (b *bed) publish(ctx context.Context) error {
	c, err := b.room.Container(ctx)
	if err != nil {
		return err
	}
	for name, text := range files() {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := c.WriteFile(name, text, mode); err != nil {
			return err
		}
	}
	if err := c.SmallInitrd(ctx); err != nil {
		return err
	}
	if err := c.WriteFile("lean.sh", leanScript, 0o755); err != nil {
		return err
	}
	if err := c.Run(ctx, "sh", "/lean.sh"); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(c.Root, "lean.sh")); err != nil {
		return err
	}
	for n, ref := range []*string{&b.before.Image, &b.before.Next} {
		if err := c.WriteFile("usr/lib/powercut-release", fmt.Sprintln(n), 0o644); err != nil {
			return err
		}
		p, err := b.site.Publish(ctx, c, e2e.ContainerName)
		if err != nil {
			return err
		}
		*ref = p.Ref
		// What the new image has more: some small files, and one that takes a while to receive.
		for i := range 100 {
			if err := c.WriteFile(fmt.Sprintf("usr/share/new/%d", i), strings.Repeat("x", i*100), 0o644); err != nil {
				return err
			}
		}
		if err := c.Run(ctx, "sh", "-c", "head -c 12000000 /dev/urandom >/usr/share/new/large"); err != nil {
			return err
		}
	}
	b.before.New = strings.Replace(b.before.Next, ":", "-", 1)
	return nil
}

// config is the server's configuration file.
func (b *bed) config(kexec bool) string {
	text := "check_in_every: 10s\nrecompress: false\nkernel_args: [loglevel=6]\nmulticast: {gather: 1s}\nkexec: never\n"
	if kexec {
		text = strings.Replace(text, "never", "updates", 1)
	}
	file := filepath.Join(b.room.Dir, fmt.Sprintf("kexec-%v.yaml", kexec))
	must(b.T, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// probe waits for what the machine says of its start.
func (b *bed) probe(ctx context.Context, m *e2e.Machine) (Said, error) {
	line, err := m.Console().WaitWhole(ctx, ProbeLine)
	if err != nil {
		return Said{}, err
	}
	return Parse(line.Text)
}
