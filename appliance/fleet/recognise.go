package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// recognise returns the machine that id is, or ErrUnknown, and the names of other machines whose firm addresses or UUID
// id says too. A firm address or UUID decides; of several the one with an operator's live job, then the one whose
// address id says first. While a machine has no such job, another UUID beside its address is another machine (a docking
// station carries its address from one to the next): a foreign UUID keeps no machine from its order. Otherwise only
// machines that no operator named are compared, as Machine.is has it.
func recognise(ctx context.Context, tx *sql.Tx, id job.Identity) (m Machine, others []string, err error) {
	const liveFirst = "EXISTS (SELECT 1 FROM jobs WHERE jobs.machine = machines.id AND jobs.origin = 'operator' AND " +
		"jobs.state IN ('pending', 'started')) DESC"
	macs := encode(id.MACs)
	firm, err := queryMachines(ctx, tx, "JOIN macs ON macs.machine = machines.id JOIN json_each(?1) AS said ON "+
		"said.value = macs.mac WHERE macs.firm = 1 AND ("+
		strings.TrimSuffix(liveFirst, " DESC")+" OR ?2 = '' OR uuid IN ('', ?2, ?3)) ORDER BY "+liveFirst+", said.key",
		macs, id.UUID, swapUUID(id.UUID))
	if err != nil {
		return m, nil, err
	}
	if id.UUID != "" {
		named, err := queryMachines(ctx, tx, "WHERE firm = 1 AND uuid IN (?, ?) ORDER BY "+liveFirst+
			", seen DESC, id LIMIT 2", id.UUID, swapUUID(id.UUID))
		if err != nil {
			return m, nil, err
		}
		firm = append(firm, named...)
	}
	for i, c := range firm {
		if i == 0 {
			m = c
		} else if c.ID != m.ID && !contains(others, c.Name) {
			others = append(others, c.Name)
		}
	}
	if len(firm) > 0 {
		return m, others, nil
	}
	// Enough for all that can be honest: of machines with one first address maxPerMAC are kept.
	found, err := queryMachines(ctx, tx, `WHERE rank < 2 AND (id IN (SELECT machine FROM macs WHERE mac IN (SELECT value FROM json_each(?1))) OR ?2 <> '' AND uuid IN (?2, ?3))
		ORDER BY rank DESC, seen DESC LIMIT 256`, macs, id.UUID, swapUUID(id.UUID))
	if err != nil {
		return m, nil, err
	}
	best := -1
	for _, c := range found {
		if !c.is(id) {
			continue
		}
		score := 2 * int(c.Rank)
		if len(id.MACs) > 0 && c.has(id.MACs[0]) {
			score++
		}
		// Equal ones are told apart by age and ID, so that the choice never depends on an order.
		if score > best || score == best &&
			(c.FirstSeen.Before(m.FirstSeen) || c.FirstSeen.Equal(m.FirstSeen) && c.ID < m.ID) {
			m, best = c, score
		}
	}
	if best < 0 {
		return m, nil, ErrUnknown
	}
	return m, nil, nil
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// endSightings ends the sightings that are m by another of its addresses: those that were only seen at network boot, by
// the address that id booted from.
func endSightings(ctx context.Context, tx *sql.Tx, m Machine, id job.Identity) error {
	if len(id.MACs) == 0 {
		return nil
	}
	found, err := queryMachines(ctx, tx,
		"WHERE rank = 0 AND source = ? AND id IN (SELECT machine FROM macs WHERE mac = ?)", netbootSource, id.MACs[0])
	if err != nil {
		return err
	}
	for _, s := range found {
		if s.ID != m.ID && s.is(id) {
			if err := forget(ctx, tx, s.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// addMachine makes a machine of an identity.
func (f *Fleet) addMachine(ctx context.Context, tx *sql.Tx, id job.Identity, rank Rank,
	source string) (Machine, error) {
	if rank == Sighting && len(id.MACs) > 0 {
		// One address with many UUIDs: the oldest of those sightings go.
		_, err := tx.ExecContext(ctx, `DELETE FROM machines WHERE id IN (SELECT id FROM machines JOIN macs ON machine = id
			WHERE rank = 0 AND mac = ? ORDER BY seen DESC LIMIT -1 OFFSET ?)`, id.MACs[0], maxPerMAC-1)
		if err != nil {
			return Machine{}, err
		}
	}
	if err := f.makeRoom(ctx, tx, rank, source); err != nil {
		return Machine{}, err
	}
	var count int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM machines").Scan(&count); err != nil {
		return Machine{}, err
	}
	m := Machine{ID: uuid.NewString(), FirstSeen: f.o.Now().UTC(), Rank: rank, source: source}
	m.learn(id)
	var err error
	m.Name, err = freeName(ctx, tx, Hostname(f.options().Hostname, id, count+1))
	return m, err
}

// freeName returns a name that no machine has, name itself where that is free.
func freeName(ctx context.Context, tx *sql.Tx, name string) (string, error) {
	for n := 1; ; n++ {
		try := name
		switch {
		case n > 9: // strangers took them all
			try = fmt.Sprintf("%.50s-%.8s", name, uuid.NewString())
		case n > 1:
			try = fmt.Sprintf("%.50s-%d", name, n)
		}
		if _, err := byName(ctx, tx, try); errors.Is(err, ErrUnknown) {
			return try, nil
		} else if err != nil {
			return "", err
		}
	}
}

// takeName makes name free for the machine with ID for: one that no operator named has to give it up.
func takeName(ctx context.Context, tx *sql.Tx, name, id string) error {
	other, err := byName(ctx, tx, name)
	if errors.Is(err, ErrUnknown) || err == nil && other.ID == id {
		return nil
	}
	if err != nil {
		return err
	}
	if other.Rank == Ordered {
		return fmt.Errorf("%w hostname %q: another machine has this name (%s)", ErrInvalid, name,
			strings.Join(other.Identity.MACs, ", "))
	}
	if other.Name, err = freeName(ctx, tx, name+"-claimed"); err != nil {
		return err
	}
	return save(ctx, tx, other)
}
