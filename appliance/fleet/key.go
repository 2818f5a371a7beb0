package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"griddle/appliance/job"
)

// byKey returns the machine that an operator's key names for looking at it: a name, an ID, a MAC address or a UUID. A
// firm address or UUID decides; otherwise all machines that claim it count, and several are ErrAmbiguous.
func byKey(ctx context.Context, tx *sql.Tx, key string) (Machine, error) {
	key = strings.TrimSpace(key)
	var found []Machine
	var err error
	if mac, ok := job.NormalMAC(key); ok {
		found, err = queryMachines(ctx, tx,
			"JOIN macs ON machine = id WHERE mac = ? ORDER BY macs.firm DESC, rank DESC, seen DESC, id LIMIT 9", mac)
		if len(found) > 0 {
			firm, ferr := firmMACs(ctx, tx, found[0])
			if err = errors.Join(err, ferr); contains(firm, mac) {
				found = found[:1]
			}
		}
	} else {
		found, err = queryMachines(ctx, tx, "WHERE name = ?1 OR id = ?1", key)
		if id := job.NormalUUID(key); err == nil && id != "" && len(found) == 0 {
			found, err = queryMachines(ctx, tx,
				"WHERE uuid IN (?, ?) ORDER BY firm DESC, rank DESC, seen DESC, id LIMIT 9", id, swapUUID(id))
			if len(found) > 0 && found[0].firm {
				found = found[:1]
			}
		}
	}
	if err != nil {
		return Machine{}, err
	}
	switch len(found) {
	case 0:
		return Machine{}, fmt.Errorf("%w: %s", ErrUnknown, job.Printable(key))
	case 1:
		return found[0], nil
	}
	var names []string
	for _, m := range found {
		names = append(names, m.Name)
	}
	return Machine{}, fmt.Errorf("%w %s: %s; use one of these names, or resolve it with `griddle machine merge` or "+
		"`griddle machine delete`",
		ErrAmbiguous, job.Printable(key), strings.Join(names, ", "))
}

// named returns the machine that an operator's order for key goes to, and makes key firm. A MAC address or UUID that
// only other machines' claims mention makes a machine of its own, whatever strangers say.
func (f *Fleet) named(ctx context.Context, tx *sql.Tx, key string) (m Machine, err error) {
	key = strings.TrimSpace(key)
	mac, isMAC := job.NormalMAC(key)
	id := job.Identity{}
	switch {
	case isMAC:
		id.MACs = []string{mac}
		m, err = oneMachine(ctx, tx, "JOIN macs ON machine = id WHERE mac = ?1 AND (macs.firm = 1 OR rank < 2 AND "+
			"data ->> '$.identity.macs[0]' = ?1) ORDER BY macs.firm DESC, rank DESC, seen DESC, id LIMIT 1", mac)
	default:
		m, err = oneMachine(ctx, tx, "WHERE name = ?1 OR id = ?1", key)
		if !errors.Is(err, ErrUnknown) {
			break
		}
		if id.UUID = job.NormalUUID(key); id.UUID == "" {
			return m, fmt.Errorf("%w: %s", ErrUnknown, job.Printable(key))
		}
		m, err = oneMachine(ctx, tx, "WHERE uuid IN (?, ?) AND (firm = 1 OR rank < 2) ORDER BY firm DESC, rank DESC, "+
			"seen DESC, id LIMIT 1", id.UUID, swapUUID(id.UUID))
	}
	if errors.Is(err, ErrUnknown) {
		m, err = f.addMachine(ctx, tx, id, Ordered, "")
	} else if err == nil && m.Rank != Ordered {
		err = f.makeRoom(ctx, tx, Ordered, "")
	}
	if err != nil {
		return m, err
	}
	m.Rank = Ordered
	if id.UUID != "" {
		m.firm, m.Identity.UUID = true, id.UUID
	}
	if err := save(ctx, tx, m); err != nil {
		return m, err
	}
	if isMAC {
		return m, makeFirm(ctx, tx, m.ID, mac)
	}
	return m, pin(ctx, tx, &m)
}

// pin makes sure that something of m is firm: what was named is its name. That is its first address; or, where another
// machine with another UUID has that too (a docking station's), its UUID.
func pin(ctx context.Context, tx *sql.Tx, m *Machine) error {
	firm, err := firmMACs(ctx, tx, *m)
	if err != nil || len(firm) > 0 || m.firm {
		return err
	}
	shared := false
	if len(m.Identity.MACs) > 0 {
		err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM macs JOIN machines ON id = machine WHERE mac = "+
			"?1 AND machine <> ?2 AND (macs.firm = 1 OR data ->> '$.identity.macs[0]' = ?1))",
			m.Identity.MACs[0], m.ID).Scan(&shared)
		if err != nil {
			return err
		}
		if !shared {
			return makeFirm(ctx, tx, m.ID, m.Identity.MACs[0])
		}
	}
	if m.Identity.UUID == "" {
		return fmt.Errorf("%w %s: its address belongs to another machine, and it has no UUID; "+
			"resolve it with `griddle machine merge` or `griddle machine delete`", ErrAmbiguous, m.Name)
	}
	m.firm = true
	return save(ctx, tx, *m)
}
