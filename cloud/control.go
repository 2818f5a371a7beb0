package cloud

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
)

// ControlOptions are how servers are started, stopped and rebooted.
type ControlOptions struct {
	NoWait bool // return as soon as the provider says that the servers run; their ssh servers are not waited for
}

// Control starts, stops or reboots servers, and waits until they are so: until one can log in, after a reboot to a
// system that was booted since. Roles are started in the order in which they are brought up, and stopped in the
// opposite one; the servers of one side by side.
func (c *Cloud) Control(ctx context.Context, name string, p Pick, a provider.Action, o ControlOptions) error {
	if _, _, err := c.inspect(ctx, name); err != nil {
		return err
	}
	r, end, err := c.begin(name, string(a), nil)
	if err != nil {
		return err
	}
	defer end()
	st, have, err := c.inspect(ctx, name)
	if err != nil {
		return err
	}
	picked, err := p.from(st, have)
	if err != nil {
		return fmt.Errorf("stack %s: %w", name, err)
	}
	if a == provider.Stop {
		slices.Reverse(picked)
	}
	type group struct {
		role    string
		servers []provider.Resource
	}
	var groups []group
	for _, v := range have {
		r.know(v) // what servers are reached through
	}
	for _, v := range picked {
		role := ""
		if k := st.Servers[v.Name]; k != nil {
			role = k.Role
		}
		if len(groups) == 0 || groups[len(groups)-1].role != role {
			groups = append(groups, group{role: role})
		}
		groups[len(groups)-1].servers = append(groups[len(groups)-1].servers, v)
	}
	r.stage.Of = len(groups)
	for _, g := range groups {
		err := r.do(ctx, string(a)+" "+groupTitle(g.role), func(ctx context.Context) error {
			return each(ctx, r.settings.Parallel, false, g.servers,
				func(ctx context.Context, v provider.Resource) error {
					within, stop := context.WithTimeoutCause(ctx, r.settings.Server, retry.Late(r.settings.Server))
					defer stop()
					if err := r.controlled(within, v, a, o.NoWait); err != nil {
						return fmt.Errorf("server %s: %w", v.Name, err)
					}
					return nil
				})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bootedCommand prints what differs from boot to boot: the kernel's boot ID
// (Documentation/admin-guide/sysctl/kernel.rst, which LXC gives each container a new one of), and when the first
// process was started, for containers that have their host's.
const bootedCommand = "cat /proc/sys/kernel/random/boot_id && { cut -d ' ' -f 22 /proc/1/stat 2>/dev/null; true; }"

// askTime is how long a server that is to be rebooted may take to say which boot it runs.
const askTime = 30 * time.Second

// controlled starts, stops or reboots a server and, unless told otherwise, waits until one can log in again.
func (r *run) controlled(ctx context.Context, v provider.Resource, a provider.Action, noWait bool) error {
	before := ""
	wait := !noWait && (a == provider.Reboot || a == provider.Start && v.State != provider.Ready)
	if wait && a == provider.Reboot && v.State == provider.Ready {
		within, stop := context.WithTimeout(ctx, askTime)
		out, exit, err := r.c.Shell.Run(within, r.reach(v.Name, v), bootedCommand)
		stop()
		if before = strings.TrimSpace(string(out)); err != nil || exit != 0 {
			before = ""
			r.say("server %s did not answer before its reboot", v.Name)
		}
	}
	got, err := r.control(ctx, v, a)
	if err != nil {
		return err
	}
	if wait {
		r.say("server %s runs; its ssh server is waited for", v.Name)
		if err := r.bootedSince(ctx, got, before); err != nil {
			r.showConsole(v.Name, got)
			return err
		}
	}
	r.say("server %s is %s", v.Name, got.State)
	return nil
}

// bootedSince waits until one can log in to a system of another boot than before, which is any where that is empty.
func (r *run) bootedSince(ctx context.Context, v provider.Resource, before string) error {
	for wait := firstLoginPause; ; wait = min(2*wait, lastLoginPause) {
		out, exit, err := r.login(ctx, v.Name, v, bootedCommand)
		switch {
		case err != nil:
			return err
		case before == "":
			return nil
		case exit == 0 && strings.TrimSpace(string(out)) != before:
			return nil
		}
		if err := retry.Sleep(ctx, wait); err != nil {
			return fmt.Errorf("waiting for another boot than the one before: %w", err)
		}
	}
}
