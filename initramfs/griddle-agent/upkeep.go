package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/action"
	"griddle/initramfs/bless/unit"
	"griddle/initramfs/kexec"
	"griddle/initramfs/liveupdate"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident"
	"griddle/initramfs/resident/contact"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/restart"
	"griddle/initramfs/sysroot"
	"griddle/initramfs/upkeep"
	"griddle/initramfs/uplink"
)

// keepUp runs the commands update, status, rollback and history of an installed system.
func keepUp(ctx context.Context, args []string) int {
	folder, err := os.OpenRoot(resident.Dir)
	if err != nil {
		if os.Geteuid() != 0 {
			err = errors.New("only root can do this: use sudo")
		} else if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%s is missing: %w", resident.Dir, pool.ErrNone)
		}
		fmt.Fprintf(os.Stderr, "griddle-agent %s: %v\n", args[0], err)
		return 1
	}
	defer folder.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	orders := order.Open(resident.Dir, order.Run)
	c := &upkeep.Command{Out: os.Stdout, Err: os.Stderr, Orders: orders, Folder: folder, Agent: version,
		Pool: func() (*pool.Pool, error) {
			p, _, err := poolHere()
			return p, err
		},
		Ask: func(ctx context.Context, ask job.UpdateAsk) (spec job.Spec, err error) {
			at, err := openContact()
			if err != nil {
				return spec, err
			}
			defer at.Close()
			_, err = at.Do(ctx, func(ctx context.Context, c *job.Client) (err error) {
				spec, err = c.Update(ctx, ask)
				return err
			})
			return spec, err
		},
		Carry: func(ctx context.Context) error {
			if w, err := orders.Waiting(); err == nil && w != nil && w.Spec.Kind.IsAction() {
				return action.Run(ctx, acting(log, orders, folder))
			}
			return liveupdate.Run(ctx, live(log, orders, folder))
		},
		Installed: updatable,
		SetUp:     setUp,
		Restart:   func(ctx context.Context) error { return systemctl(ctx, "reboot") },
	}
	return c.Run(ctx, args)
}

// acting is what an action needs of this system.
func acting(log *slog.Logger, orders order.Files, folder *os.Root) action.Options {
	return action.Options{Orders: orders, Boot: order.Boot(), Root: strings.TrimPrefix(rootSubvolume(), "@roots/"),
		Restart: restart.Firmware, Log: log, Exec: action.Systemd, NoRuns: action.NoRuns,
		Pool: func() (*pool.Pool, error) {
			p, _, err := poolHere()
			return p, err
		},
		Note: func(kind history.Kind, root string) error {
			return history.Append(folder, history.Event{Kind: kind, Root: root})
		}}
}

// live is what an update needs of this system.
func live(log *slog.Logger, orders order.Files, folder *os.Root) liveupdate.Options {
	list, err := uplink.NICs("")
	if err != nil {
		log.Warn("listing network interfaces", "error", err)
	}
	_, err = os.Stat("/sys/firmware/efi")
	return liveupdate.Options{Orders: orders, Contact: openContact, Pool: poolHere,
		History: func() ([]history.Event, error) { return history.Read(folder) },
		Restart: func(ctx context.Context, root string, kexec bool) error {
			if kexec && jump(ctx, log, root) {
				return nil
			}
			return restart.Firmware(ctx)
		},
		Log: log, Agent: resident.Programs + "/griddle-agent", Machine: identity(log, list),
		BIOS: errors.Is(err, os.ErrNotExist)}
}

// jump restarts the machine into a root of the pool without the firmware, and reports whether that began.
func jump(ctx context.Context, log *slog.Logger, root string) bool {
	p, _, err := poolHere()
	if err == nil {
		defer p.Close()
		err = kexec.Restart(ctx, p, root)
	}
	if err != nil {
		log.Warn("restarting through the firmware", "why", err)
	}
	return err == nil
}

// openContact opens what this machine knows of its server.
func openContact() (*contact.Contact, error) {
	c, bad, err := contact.Open(resident.Dir)
	if err == nil && bad != nil {
		err = errors.Join(bad, c.Close()) // without the newest notice a revoked key would count
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// poolHere opens the pool that this system runs from.
func poolHere() (*pool.Pool, pool.Place, error) {
	if os.Geteuid() != 0 {
		return nil, pool.Place{}, errors.New("only root can do this: use sudo")
	}
	place, err := pool.Here()
	if err != nil {
		return nil, place, err
	}
	p, err := pool.Open(place)
	return p, place, err
}

// updatable says whether this system has the units that carry out updates.
func updatable() bool {
	root, err := os.OpenRoot("/")
	if err != nil {
		return false
	}
	defer root.Close()
	return resident.Installed(sysroot.Dir{Root: root})
}

// setUp gives a system that was installed before there were updates what they need.
func setUp(ctx context.Context) error {
	root, err := os.OpenRoot("/")
	if err != nil {
		return err
	}
	defer root.Close()
	d := sysroot.Dir{Root: root}
	if err := errors.Join(unit.Install(d), resident.Install(d)); err != nil {
		return err
	}
	if err := systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	return systemctl(ctx, "start", "--no-block", resident.PathUnit)
}

func systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, job.Sentence(string(out)))
	}
	return nil
}
