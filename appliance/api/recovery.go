package api

import (
	"context"
	"errors"
	"net/http"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Recovery is what opens the encrypted partitions of a machine where nothing else does.
type Recovery struct {
	Machine string              `json:"machine"` // its name
	Keys    []fleet.RecoveryKey `json:"keys"`    // the newest first
	// Encrypted are its encrypted partitions, as it reported its disks last; other systems may have made some of them.
	Encrypted []Encrypted `json:"encrypted,omitempty"`
}

// Encrypted is an encrypted partition.
type Encrypted struct {
	Disk   string `json:"disk"`   // what names it for people
	Number int    `json:"number"` // of the partition
	Label  string `json:"label,omitempty"`
	UUID   string `json:"uuid"` // of the LUKS volume, which the prompts for a passphrase show too
}

// ReadRecovery asks for the recovery keys of a machine.
type ReadRecovery struct {
	Renew bool `json:"renew,omitempty"` // the next install that makes encrypted partitions gets another key
}

// recovery gives a boot the recovery keys of its machine, or the code that an operator has to compare before.
func (h *Handler) recovery(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	var in job.RecoveryAsk
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	out, err := h.o.Fleet.Recover(r.Context(), by, in.Job)
	if err != nil {
		return err
	}
	if out.State == job.Ready {
		h.o.Log.Info("a boot gets its recovery keys", "job", job.Printable(in.Job), "keys", len(out.Recovery), "remote",
			r.RemoteAddr)
	}
	return give(w, http.StatusOK, out)
}

// readRecovery shows the recovery keys of a machine to an operator. It changes the journal, so that it is no GET.
func (h *Handler) readRecovery(ctx context.Context, in *keyed[ReadRecovery]) (out Recovery, err error) {
	remote := callerOf(ctx).remote
	m, keys, err := h.o.Fleet.ReadRecovery(ctx, in.Key, remote, in.body.Renew)
	if err != nil {
		return out, err
	}
	if len(keys) == 0 {
		return out, job.NewProblem(http.StatusNotFound, m.Name+" has no recovery key: one is made when the machine "+
			"begins an install by a layout that has recovery in unlock")
	}
	v, _, err := h.o.Fleet.Show(ctx, m.ID)
	if err != nil {
		return out, err
	}
	h.o.Log.Info("an operator reads recovery keys", "machine", m.Name, "keys", len(keys), "remote", remote)
	return Recovery{Machine: m.Name, Keys: keys, Encrypted: encrypted(v.Machine.Inventory)}, nil
}

// encrypted are the encrypted partitions of an inventory.
func encrypted(v job.Inventory) (out []Encrypted) {
	for _, d := range v.Disks {
		for _, p := range d.Partitions {
			if p.Filesystem == layout.Encrypted {
				out = append(out, Encrypted{Disk: d.String(), Number: p.Number, Label: p.Label, UUID: p.UUID})
			}
		}
	}
	return out
}

// lost explains why a machine with recovery keys is not deleted.
func lost(err error) error {
	if errors.Is(err, fleet.ErrRecovery) {
		return job.NewProblem(http.StatusConflict, err.Error()+"; write them down first, or say that they may be lost")
	}
	return err
}
