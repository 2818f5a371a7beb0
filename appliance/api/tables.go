package api

import (
	"context"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
)

// SavedTables are the partition tables that the disks of a machine had before the layout of its last job changed them.
// The server has them until the job is done.
type SavedTables struct {
	Tables []job.SavedTable `json:"tables"`
}

// savedTables is the handler of SavedTables. The steps that save tables come first in a plan, so the first records have
// all of them.
func (h *Handler) savedTables(ctx context.Context, in *key) (out SavedTables, err error) {
	const first = 16 << 20 // bytes; a layout with 20 disks whose tables are the largest ones
	records, err := h.o.Fleet.LastRecords(ctx, in.Key, first)
	if err != nil {
		return out, err
	}
	tables, err := plan.SavedTables(records)
	if err != nil {
		return out, err
	}
	if tables == nil {
		tables = []job.SavedTable{}
	}
	return SavedTables{tables}, nil
}

// SavedTables returns them.
func (c *Client) SavedTables(ctx context.Context, key string) (out SavedTables, err error) {
	err = c.made.GetSavedTables(ctx, key, &out)
	return out, err
}
