package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"griddle/appliance/job"
)

// Limits of what strangers can make the server store. The lowest rank is evicted first; within a rank the source with
// the most machines; of that source the machine that was not seen for the longest time. So an address that asks for
// much loses its own records.
//
//	sightings    4,096 in all; 1,024 of them seen at network boot, 128 of one address
//	touched      2,048 in all
//	ordered      20,000, which only operators fill; 1,000 groups
//	inventories  64 KiB of a stranger's machine and 64 MiB in all; 256 KiB of an ordered one and 256 MiB in all
//	journals     64 KiB of a sighting, 256 KiB of a touched one and 32 MiB in all;
//	             4 MiB of an ordered one and 256 MiB in all
//	orders       the newest 500, those with the last 200,000 machines; live ones are always kept
//	records      64 MiB of a job; 4 GiB in all, 1 GiB of touched machines and of 512 jobs, 256 MiB of one address
const (
	maxSighted    = 1024 // sightings from network boot
	maxPerMAC     = 8    // sightings with one address as their first
	maxMachines   = 20000
	maxMACs       = 16  // addresses that are kept of one machine
	maxBoots      = 16  // boots of one machine whose tokens and numbers are kept
	maxSeenBoots  = 4   // the same, of a sighting
	maxHomes      = 16  // one-time tokens of one job
	maxJobs       = 100 // jobs of an ordered machine
	maxScreenJobs = 8   // jobs of a touched one
	maxActions    = 20  // actions of a machine, beside its other jobs
	maxChoosing   = 4   // live jobs of one machine that screens chose
	maxEventsKept = 20000

	strangerInventory = 64 << 10
	orderedInventory  = 256 << 10
	sightingJournal   = 64 << 10
	touchedJournal    = 256 << 10
	orderedJournal    = 4 << 20

	checkEvery = 1 << 20 // bytes that are stored between two looks at the totals
)

// totals are the bounds over many machines; tests have smaller ones.
type totals struct {
	sightings, perSource, touched int
	strangerInventories           int64 // bytes
	allInventories                int64
	strangerJournals              int64
	allJournals                   int64
	allRecords                    int64
	strangerRecords               int64
	sourceRecords                 int64
	recorded                      int64 // jobs of touched machines with records
	orders, orderRows             int   // orders for many, and machines of those that have ended
}

func defaultTotals() totals {
	return totals{
		sightings: 4096, perSource: 128, touched: 2048,
		strangerInventories: 64 << 20, allInventories: 256 << 20, strangerJournals: 32 << 20, allJournals: 256 << 20,
		allRecords: 4 << 30, strangerRecords: 1 << 30, sourceRecords: 256 << 20, recorded: 512,
		orders: 500, orderRows: 200_000,
	}
}

// Time limits. They are compared with stored times when a call needs them; no timer runs.
const (
	tokenLife = 24 * time.Hour   // after the last use of a boot's token it is void
	silence   = 10 * time.Minute // a boot that has not been heard of for so long has ended
	// how long a boot that carries out a job may be silent before another may report on it
	carrying   = time.Minute
	underWay   = time.Hour        // a boot whose token was used so lately is not evicted by hellos, see evictBoots
	homeWithin = 10 * time.Minute // an installed system calls home within it
)

// netbootSource is the source of machines that were seen at network boot.
const netbootSource = "netboot"

// makeRoom makes room for one more machine of rank, or says why there is none.
func (f *Fleet) makeRoom(ctx context.Context, tx *sql.Tx, rank Rank, source string) error {
	if rank == Ordered {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM machines WHERE rank = 2").Scan(&n); err != nil {
			return err
		}
		if n >= maxMachines {
			return fmt.Errorf("%w: operators have named %d machines, which is the limit; "+
				"delete one with `griddle machine delete`",
				ErrInvalid, n)
		}
		return nil
	}
	if err := f.checkSpace("records unknown machines"); err != nil {
		return err
	}
	if rank == Sighting {
		limit := f.max.perSource
		if source == netbootSource {
			limit = maxSighted
		}
		if err := f.evict(ctx, tx, rank, source, limit); err != nil {
			return err
		}
		return f.evict(ctx, tx, rank, "", f.max.sightings)
	}
	return f.evict(ctx, tx, rank, "", f.max.touched)
}

// checkSpace says whether the file system has room for what the server does only while it has Options.Spare.
func (f *Fleet) checkSpace(does string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(f.file), &st); err != nil {
		return fmt.Errorf("checking the free space of the state disk: %w", err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < f.o.Spare {
		return fmt.Errorf("%w: %s is free, and the server %s only above %s",
			ErrDiskFull, job.Bytes(free), does, job.Bytes(f.o.Spare))
	}
	return nil
}

// evict forgets machines of rank until one more fits below limit: of source, or, where that is "", of the one that has
// the most. A touched machine on which a boot is under way is never forgotten for a stranger, nor one with records of a
// job: they may say how to complete what is half done on its disks.
func (f *Fleet) evict(ctx context.Context, tx *sql.Tx, rank Rank, source string, limit int) error {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM machines WHERE rank = ?1 AND (?2 = '' OR source = ?2)",
		rank, source).Scan(&n); err != nil {
		return err
	}
	for ; n >= limit; n-- {
		victim, err := f.victim(ctx, tx, rank, source)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: %d machines are being installed from their screens; try again later", ErrFull, n)
		}
		if err != nil {
			return err
		}
		if err := forget(ctx, tx, victim); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) victim(ctx context.Context, tx *sql.Tx, rank Rank, source string) (id string, err error) {
	busy := f.o.Now().Add(-silence).UnixNano()
	return id, tx.QueryRowContext(ctx, `WITH free AS (SELECT id, source, seen FROM machines WHERE rank = ?1 AND (?2 = '' OR source = ?2)
			AND (rank = 0 OR NOT EXISTS (SELECT 1 FROM boots WHERE boots.machine = machines.id AND boots.acted > ?3)
			AND NOT EXISTS (SELECT 1 FROM recorded JOIN jobs ON jobs.id = recorded.job WHERE jobs.machine = machines.id)))
		SELECT id FROM free JOIN (SELECT source AS s, count(*) AS n FROM free GROUP BY source) ON s = source
		ORDER BY n DESC, seen, id LIMIT 1`, rank, source, busy).Scan(&id)
}

func forget(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM machines WHERE id = ?", id)
	return err
}

// trimTotals counts n bytes that were stored, and now and then brings inventories and journals below their totals: the
// oldest go first, strangers' before others'.
func (f *Fleet) trimTotals(ctx context.Context, tx *sql.Tx, n int) error {
	if f.stored += int64(n); f.stored < checkEvery {
		return nil
	}
	f.stored = 0
	for _, total := range []struct {
		below Rank
		bytes int64
	}{{Ordered, f.max.strangerInventories}, {Ordered + 1, f.max.allInventories}} {
		gone, err := texts(ctx, tx, `DELETE FROM inventories WHERE machine IN (SELECT machine FROM
			(SELECT machine, sum(size) OVER (ORDER BY updated DESC, machine) AS total FROM inventories JOIN machines ON machines.id = machine WHERE rank < ?)
			WHERE total > ?) RETURNING machine`, total.below, total.bytes)
		for i := 0; err == nil && i < len(gone); i++ {
			err = mark(ctx, tx, gone[i])
		}
		if err != nil {
			return err
		}
	}
	for _, total := range []struct {
		below Rank
		bytes int64
	}{{Ordered, f.max.strangerJournals}, {Ordered + 1, f.max.allJournals}} {
		_, err := tx.ExecContext(ctx, `DELETE FROM events WHERE id IN (SELECT events.id FROM
			(SELECT events.id, sum(size) OVER (ORDER BY events.id DESC) AS total FROM events JOIN machines ON machines.id = machine WHERE rank < ?) AS events
			WHERE total > ?)`, total.below, total.bytes)
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetOld deletes the entries of all journals that are older than Options.KeepEvents. They are the first ones.
func (f *Fleet) forgetOld(ctx context.Context, tx *sql.Tx) error {
	keep := f.options().KeepEvents
	if keep <= 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM events WHERE id < coalesce((SELECT id FROM events WHERE received >= ? "+
		"ORDER BY id LIMIT 1), 9223372036854775807)", f.o.Now().Add(-keep).UnixNano())
	return err
}

// trimJournal brings one machine's journal below its bounds.
func trimJournal(ctx context.Context, tx *sql.Tx, machine string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM events WHERE machine = ?1 AND id <= (SELECT id FROM
		(SELECT id, sum(size) OVER w AS total, row_number() OVER w AS n FROM events WHERE machine = ?1 WINDOW w AS (ORDER BY id DESC))
		WHERE n > ?2 OR total > (SELECT CASE rank WHEN 0 THEN ?3 WHEN 1 THEN ?4 ELSE ?5 END FROM machines WHERE id = ?1) ORDER BY id DESC LIMIT 1)`,
		machine, maxEventsKept, sightingJournal, touchedJournal, orderedJournal)
	return err
}

// shrinkInventory brings an inventory to at most limit bytes of JSON: without partitions first, then with fewer disks
// and cards. What was cut is said in Cut.
func shrinkInventory(v job.Inventory, limit int) job.Inventory {
	for len(encode(v)) > limit {
		v.Cut = true
		bare := false
		disks := append([]job.Disk(nil), v.Disks...)
		for i := range disks {
			bare = bare || len(disks[i].Partitions) > 0
			disks[i].Partitions = nil
		}
		if v.Disks = disks; !bare {
			v.Disks, v.NICs = disks[:len(disks)/2], v.NICs[:len(v.NICs)/2]
		}
		if len(v.Disks) == 0 && len(v.NICs) == 0 {
			break
		}
	}
	return v
}
