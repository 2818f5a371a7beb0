// Package lease leases the IPv4 addresses of a pool and stores the leases in a journal.
//
// Call [Open] first; a [Pool] then offers, commits, releases and declines addresses for Ethernet addresses. A machine
// keeps its address through all boot stages: ROM, loader, kernel and system send different client identifiers, so the
// Ethernet address is the key.
//
// The journal is an append-only text file with one record in each line. Single spaces separate the fields:
//
//	+--------+------+-----+---------+---------+----+
//	| CRC-32 | verb | MAC | address | end     | \n |
//	| 8 hex  | 5, 7 | 17  | 7 to 15 | decimal | 1  |
//	+--------+------+-----+---------+---------+----+
//
// verb is lease, release or decline; end is in seconds since 1970; the CRC (IEEE) is over the bytes from verb to end.
// The last record of an address counts.
//
// Guarantees: when Commit returns Granted, the record is on the disk (fdatasync) and survives a power cut. Commits that
// wait at the same time share one fdatasync. Open skips damaged lines, counts them, and keeps such a journal as
// PATH.damaged. (A power cut leaves damaged lines at the end; the pages of one write may reach the disk in any order.)
// Open rewrites the journal without its history, and the pool does so from time to time and after a failed write: new
// file, fsync, rename, fsync of the directory.
//
// All methods may be called from several goroutines. Only one process at a time can use a journal; it holds a lock on
// it.
package lease

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// The times of a pool, where Config names none.
const (
	DefaultTime = time.Hour
	offerTime   = time.Minute    // how long an offered address is held for the machine
	declineTime = 24 * time.Hour // how long a declined address is put aside, as Kea does
)

// maxAddresses bounds a pool, whose free addresses are searched one by one.
const maxAddresses = 1 << 16

var (
	// ErrFull means that no address is free.
	ErrFull = errors.New("no free address in the pool")
	// ErrNotHeld means that the machine has no lease of the address.
	ErrNotHeld = errors.New("the machine has no lease of that address")
)

// MAC is an Ethernet address.
type MAC = [6]byte

// Lease is an address that a machine has, or that is blocked after a decline.
type Lease struct {
	MAC      MAC // zero for a declined address
	Addr     netip.Addr
	End      time.Time
	Declined bool
}

// String is for people: "10.0.0.7 52:54:00:12:34:56 until 2026-11-20T12:00:00Z".
func (l Lease) String() string {
	who := net.HardwareAddr(l.MAC[:]).String()
	if l.Declined {
		who = "declined by " + who
	}
	return fmt.Sprintf("%s %s until %s", l.Addr, who, l.End.UTC().Format(time.RFC3339))
}

// Config describes a pool. Path, First and Last are required.
type Config struct {
	// Path is the journal; its directory must exist.
	Path string
	// First and Last are the ends of the range, both included, at most 65536 addresses apart.
	First, Last netip.Addr
	// Exclude are addresses of the range that are never leased, such as the server's own.
	Exclude []netip.Addr
	// Reserved gives machines their own addresses, inside the range or outside; no other machine gets them.
	Reserved map[MAC]netip.Addr
	// Time is how long a lease lasts, zero for DefaultTime.
	Time time.Duration
}

func (c Config) validate() error {
	var errs []error
	if c.Path == "" {
		errs = append(errs, errors.New("the path of the journal is missing"))
	}
	switch {
	case !c.First.Is4() || !c.Last.Is4():
		errs = append(errs, fmt.Errorf("range %s to %s is not IPv4", c.First, c.Last))
	case c.Last.Less(c.First):
		errs = append(errs, fmt.Errorf("range %s to %s runs backwards", c.First, c.Last))
	case number(c.Last)-number(c.First) >= maxAddresses:
		errs = append(errs, fmt.Errorf("range %s to %s has more than %d addresses", c.First, c.Last, maxAddresses))
	}
	if c.Time < 0 {
		errs = append(errs, fmt.Errorf("lease time %s is negative", c.Time))
	}
	owner := map[netip.Addr]MAC{}
	for mac, a := range c.Reserved {
		if other, ok := owner[a]; ok {
			errs = append(errs, fmt.Errorf("%s is reserved for both %s and %s",
				a, net.HardwareAddr(other[:]), net.HardwareAddr(mac[:])))
		}
		owner[a] = mac
	}
	return errors.Join(errs...)
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
