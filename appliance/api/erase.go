package api

import (
	"errors"
	"fmt"
	"net/http"

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
func (h *Handler) erase(w http.ResponseWriter, r *http.Request, _ fleet.Proof) error {
	var in Erase
	if err := decode(w, r, true, &in); err != nil {
		return err
	}
	level, err := job.ParseEraseLevel(in.Level)
	if err != nil {
		return fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	v, _, err := h.o.Fleet.Show(r.Context(), r.PathValue("key"))
	if err != nil && !errors.Is(err, fleet.ErrUnknown) {
		return err
	}
	if disks := v.Machine.Inventory.Disks; len(disks) > 0 {
		if _, err := job.PickErase(in.Disk, disks); err != nil {
			return fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
		}
	}
	return h.take(w, r, fleet.Order{Kind: job.Erase, Erase: in.Disk, Level: level, Replace: in.Replace})
}
