package api

import (
	"context"
	"errors"
	"fmt"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// Erase asks for an erase of one disk. The fields are what an operator types.
type Erase struct {
	Disk    string `json:"disk"`              // its serial or WWN, or its path if it has neither
	Level   string `json:"level,omitempty"`   // see job.EraseLevel
	Replace bool   `json:"replace,omitempty"` // take back what waits or runs on the machine
}

// erase orders an erase. Of a machine whose disks are known, the name must be that of one of them.
func (h *Handler) erase(ctx context.Context, in *keyed[Erase]) (out Machine, err error) {
	level, err := job.ParseEraseLevel(in.body.Level)
	if err != nil {
		return out, fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	v, _, err := h.o.Fleet.Show(ctx, in.Key)
	if err != nil && !errors.Is(err, fleet.ErrUnknown) {
		return out, err
	}
	if disks := v.Machine.Inventory.Disks; len(disks) > 0 {
		if _, err := job.PickErase(in.body.Disk, disks); err != nil {
			return out, fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
		}
	}
	return h.take(ctx, in.Key, fleet.Order{Kind: job.Erase, Erase: in.body.Disk, Level: level,
		Replace: in.body.Replace})
}
