package update_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/install"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake/intaketest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/update"
)

const (
	installJob = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	updateJob  = "6c2f0a4e-7a1c-4d3e-9f00-0123456789ab"
)

// versions are two versions of a template.
func versions(t testing.TB) (one, two *intaketest.Image) {
	t.Helper()
	all := three(t)
	return all[0], all[1]
}

// three are three versions of a template.
func three(t testing.TB) []*intaketest.Image {
	t.Helper()
	return intaketest.Publish(t, func(dir string) {
		intaketest.Put(t, dir, map[string]string{
			"boot/vmlinuz-6.1.0-9-amd64":    "a kernel",
			"boot/initrd.img-6.1.0-9-amd64": "an initrd",
			"vmlinuz":                       "-> boot/vmlinuz-6.1.0-9-amd64",
			"initrd.img":                    "-> boot/initrd.img-6.1.0-9-amd64",
			"usr/lib/systemd/systemd":       "process 1",
			"sbin/init":                     "-> ../usr/lib/systemd/systemd",
			"etc/hostname":                  "template\n",
			"etc/hosts":                     "127.0.0.1 localhost\n127.0.1.1 template\n",
			"etc/machine-id":                "",
			"etc/passwd":                    "root:x:0:0:root:/root:/bin/sh\n",
			"etc/group":                     "root:x:0:\n",
			"etc/shadow":                    "root:*:19000:0:99999:7:::\n",
			"etc/gshadow":                   "root:*::\n",
			"etc/ssh/sshd_config":           "kept\n",
			"usr/sbin/sshd":                 "a program",
			"usr/lib/big":                   strings.Repeat("x", 1<<20),
			"etc/fstab":                     "tmpfs /tmp tmpfs nosuid 0 0\n",
			"home/alice/notes":              "hers",
			"etc/version":                   "1\n",
		})
	}, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/version": "2\n", "home/alice/notes": "of the image"})
	}, func(dir string) {
		intaketest.Put(t, dir, map[string]string{"etc/version": "3\n"})
	})
}

// machine is an installed machine.
type machine struct {
	dev  string
	esp  string // folder of the EFI system partition: the kernel of a test machine may lack FAT
	o    update.Options
	mu   sync.Mutex
	seen []job.Event
	on   func(job.Event) // may be nil
}

// installed is a machine with an image, that has seen some use.
func installed(t testing.TB, dev string, img *intaketest.Image) *machine {
	t.Helper()
	m := installedAs(t, dev, img, "")
	m.with(t, func(p *pool.Pool) {
		intaketest.Put(t, p.Dir(), map[string]string{"@home/ada/thesis": "two years", "@persistent/lab": "kept",
			"@roots/web-20261120.1@amd64/etc/hostname": "lab-7\n"})
	})
	return m
}

// installedAs is a machine that was just installed.
func installedAs(t testing.TB, dev string, img *intaketest.Image, reset job.Reset) *machine {
	t.Helper()
	m := &machine{dev: dev, esp: filepath.Join(t.TempDir(), "esp")}
	grub, agent := t.TempDir(), filepath.Join(t.TempDir(), "agent")
	if err := errors.Join(bootloader.BuildGRUB(t.Context(), grub, bootloader.BuildOptions{}),
		os.WriteFile(agent, []byte("the agent\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	m.o = update.Options{Spec: job.Spec{ID: updateJob, Kind: job.Update}, Event: m.event, Agent: agent, GRUB: grub,
		Mount: filepath.Join(t.TempDir(), "new"), Power: t.TempDir()}
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, sector, err := disk.Geometry(f)
	if err != nil {
		t.Fatal(err)
	}
	d := install.Disks([]disk.Disk{{Path: dev, Serial: "D1", Size: size, SectorSize: sector,
		Content: content.Content{Sampled: job.Zeros}}})
	spec := job.Spec{ID: installJob, Kind: job.Install, Disk: job.DiskRule("path:" + dev), Erase: dev, Reset: reset}
	spec.Home = job.Home{URL: "https://10.0.0.1:8443/v1/agent/home", Token: "once"}
	if err := install.Run(t.Context(), spec, img, d, quiet{}, install.Options{
		Machine: job.Identity{Serial: "ABC-123"}, Agent: agent, GRUB: grub, Mount: t.TempDir(),
		Serial: func(string) (string, error) { return "D1", nil },
		MountESP: func(_, dir string) (func() error, error) {
			return func() error { return os.Rename(dir, m.esp) }, nil
		},
	}); err != nil {
		t.Fatal(err)
	}
	if m.o.Place, err = pool.On(dev); err != nil {
		t.Fatal(err)
	}
	m.o.Place.ESP = m.esp
	return m
}

type quiet struct{}

func (quiet) Event(job.Event)                       {}
func (quiet) Started(context.Context, string) error { return nil }

func (m *machine) event(e job.Event) {
	m.mu.Lock()
	m.seen = append(m.seen, e)
	m.mu.Unlock()
	if m.on != nil {
		m.on(e)
	}
}

// with opens the pool for do.
func (m *machine) with(t testing.TB, do func(p *pool.Pool)) {
	t.Helper()
	p, err := pool.Open(m.o.Place)
	if err != nil {
		t.Fatal(err)
	}
	do(p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// update runs an update to img.
func (m *machine) update(ctx context.Context, t testing.TB, img update.Image) (r update.Result, err error) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		o := m.o
		o.Pool = p
		o.Spec.Image.Ref = img.Ref()
		if o.Open == nil {
			o.Open = func(context.Context, []string) (update.Image, error) { return img, nil }
		}
		r, err = update.Run(ctx, o)
	})
	return r, err
}

// read is a file of the pool.
func (m *machine) read(t testing.TB, name string) (text string) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		b, err := os.ReadFile(filepath.Join(p.Dir(), name))
		if err != nil {
			t.Error(err)
		}
		text = string(b)
	})
	return text
}

// contents are those of the pool.
func (m *machine) contents(t testing.TB) (c pool.Contents) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		var err error
		if c, err = p.Read(); err != nil {
			t.Fatal(err)
		}
	})
	return c
}

// kept is what an update must not change: the old root, @home, and what others have in @persistent.
func (m *machine) kept(t testing.TB) (text string) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		for _, dir := range []string{"@roots/web-20261120.1@amd64", "@home"} {
			text += pooltest.Tree(t, filepath.Join(p.Dir(), dir))
		}
		b, err := os.ReadFile(filepath.Join(p.Dir(), "@persistent/lab"))
		text += fmt.Sprint(string(b), err)
	})
	return text
}

// noMounts fails the test if something is still mounted.
func (m *machine) noMounts(t testing.TB) {
	t.Helper()
	if out := pooltest.Tool(t, "findmnt", "-rn", "-o", "TARGET"); strings.Contains(out, m.o.Mount) {
		t.Errorf("something is still mounted below %s:\n%s", m.o.Mount, out)
	}
}
