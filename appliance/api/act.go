package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"griddle/appliance/account"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// Reboot asks for a restart of a machine whose installed system is up.
type Reboot struct {
	Within  int  `json:"within,omitempty"`  // seconds in which the machine begins it, or not at all; 0 means an hour
	Replace bool `json:"replace,omitempty"` // take back what waits or runs on the machine
}

// reboot orders a restart.
func (h *Handler) reboot(ctx context.Context, in *keyed[Reboot]) (out Machine, err error) {
	return h.act(ctx, in.Key, in.body.Within, fleet.Order{Kind: job.Reboot, Replace: in.body.Replace})
}

// Rollback asks that a machine starts an earlier root of its pool.
type Rollback struct {
	Root    string `json:"root,omitempty"`    // one of Machine.Service.Roots; "" for the newest other good one
	Within  int    `json:"within,omitempty"`  // as in Reboot
	Replace bool   `json:"replace,omitempty"` // take back what waits or runs on the machine
}

// rollback orders it.
func (h *Handler) rollback(ctx context.Context, in *keyed[Rollback]) (out Machine, err error) {
	return h.act(ctx, in.Key, in.body.Within, fleet.Order{Kind: job.Rollback, Root: in.body.Root,
		Replace: in.body.Replace})
}

// Run asks that a machine runs a program, as root and once.
type Run struct {
	Argv    []string `json:"argv"`              // the program and its arguments, as job.CheckLine takes them
	Limit   int      `json:"limit,omitempty"`   // seconds that it may take; 0 means 60
	Within  int      `json:"within,omitempty"`  // as in Reboot
	Replace bool     `json:"replace,omitempty"` // take back what waits or runs on the machine
}

// run orders it. The site says who may (fleet.Runs), and the audit log has the words.
func (h *Handler) run(ctx context.Context, in *keyed[Run]) (out Machine, err error) {
	about(ctx, in.Key+": "+job.Words(in.body.Argv))
	switch who := callerOf(ctx); {
	case h.o.Fleet.Runs() == fleet.RunsNobody:
		return out, job.NewProblem(http.StatusForbidden, "this site runs no programs on machines (run_commands: "+
			"none in the configuration of the server)")
	case h.o.Fleet.Runs() != fleet.RunsOperators && !who.Role.May(account.Admin):
		return out, job.NewProblem(http.StatusForbidden, "only administrators may run programs on the machines of "+
			"this site (run_commands in the configuration of the server)")
	}
	return h.act(ctx, in.Key, in.body.Within, fleet.Order{Kind: job.Run, Argv: in.body.Argv, Limit: in.body.Limit,
		Replace: in.body.Replace})
}

// act orders an action that waits for its machine for so many seconds.
func (h *Handler) act(ctx context.Context, key string, within int, o fleet.Order) (out Machine, err error) {
	if within < 0 || within > int(job.ActionWaitMost/time.Second) {
		return out, fmt.Errorf("%w: a machine begins a %s within 1 to %d seconds", fleet.ErrInvalid, o.Kind,
			int(job.ActionWaitMost/time.Second))
	}
	o.Within = time.Duration(within) * time.Second
	return h.take(ctx, key, o)
}

// Reboot has it restart.
func (c *Client) Reboot(ctx context.Context, key string, in Reboot) (out Machine, err error) {
	err = c.made.RebootMachine(ctx, key, in, &out)
	return out, err
}

// Rollback has it go back to an earlier root.
func (c *Client) Rollback(ctx context.Context, key string, in Rollback) (out Machine, err error) {
	err = c.made.RollBackMachine(ctx, key, in, &out)
	return out, err
}

// Run has it run a program.
func (c *Client) Run(ctx context.Context, key string, in Run) (out Machine, err error) {
	err = c.made.RunProgram(ctx, key, in, &out)
	return out, err
}
