package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/uplink"
	"griddle/tui"
)

// unchanged looks at the link and the disks once more: a page may have been read for hours.
func (s *station) unchanged(ctx context.Context, c job.Choice, l *uplink.Lease,
	shown tui.Found) (tui.Found, error) {
	list, err := uplink.NICs(l.NIC.MAC)
	if err != nil {
		return shown, fmt.Errorf("listing network interfaces: %w", err)
	}
	if lost := lostLink(list, l.NIC.Name, l.NIC.MAC); lost != "" {
		return shown, fmt.Errorf("%s %w", lost, errLinkLost)
	}
	now := shown
	now.Inventory = s.inventory(ctx, list, l)
	if len(c.Layout) > 0 {
		return now, samePlan(c, now.Inventory.Disks)
	}
	return now, sameDisk(c.Disk, shown.Inventory.Disks, now.Inventory.Disks)
}

// samePlan fails where the layout of a choice gives another plan now than the one that was agreed to.
func samePlan(c job.Choice, now []job.Disk) error {
	var doc layout.Document
	if err := json.Unmarshal(c.Layout, &doc); err != nil {
		return fmt.Errorf("reading the layout: %w", err)
	}
	p, err := plan.Make(plan.Input{Layout: doc, Disks: now})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errChanged, err)
	case p.Hash != c.Plan:
		return fmt.Errorf("%w: the plan is another one now, with the hash %s", errChanged, p.Hash)
	}
	return nil
}

// sameDisk fails where rule picks another disk now than among those that were shown, or one that holds something else.
func sameDisk(rule job.DiskRule, shown, now []job.Disk) error {
	was, err := rule.Pick(shown)
	if err != nil {
		return err
	}
	is, err := rule.Pick(now)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(was.WithoutFacts(), is.WithoutFacts()) {
		return fmt.Errorf("%w: it was %s and is now %s", errChanged, was, is)
	}
	return nil
}
