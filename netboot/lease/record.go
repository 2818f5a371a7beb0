package lease

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// The verbs of the journal.
const (
	verbLease   = "lease"
	verbRelease = "release"
	verbDecline = "decline"
)

type record struct {
	verb string
	Lease
}

// line is the journal's text of r, with its newline.
func (r record) line() []byte {
	body := fmt.Appendf(nil, "%s %s %s %d", r.verb, net.HardwareAddr(r.MAC[:]), r.Addr, r.End.Unix())
	return append(fmt.Appendf(nil, "%08x ", crc32.ChecksumIEEE(body)), append(body, '\n')...)
}

// parseRecord reads a line without its newline. Only what line writes is taken.
func parseRecord(b []byte) (record, error) {
	sum, body, ok := bytes.Cut(b, []byte(" "))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
		return record{}, fmt.Errorf("bad checksum %q", sum)
	}
	f := bytes.Split(body, []byte(" "))
	if len(f) != 4 {
		return record{}, fmt.Errorf("%d fields, want 4", len(f))
	}
	r := record{verb: string(f[0])}
	if r.verb != verbLease && r.verb != verbRelease && r.verb != verbDecline {
		return record{}, fmt.Errorf("unknown verb %q", r.verb)
	}
	mac, err := net.ParseMAC(string(f[1]))
	if err != nil || len(mac) != 6 {
		return record{}, fmt.Errorf("bad Ethernet address %q", f[1])
	}
	r.MAC = MAC(mac)
	if r.Addr, err = netip.ParseAddr(string(f[2])); err != nil || !r.Addr.Is4() {
		return record{}, fmt.Errorf("bad address %q", f[2])
	}
	end, err := strconv.ParseInt(string(f[3]), 10, 64)
	if err != nil {
		return record{}, fmt.Errorf("bad time %q", f[3])
	}
	r.End = time.Unix(end, 0)
	r.Declined = r.verb == verbDecline
	return r, nil
}

// parseJournal reads the good lines of a journal and counts the bad ones. A last line without its newline is bad.
func parseJournal(b []byte) (records []record, dropped int) {
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		b = rest
		r, err := parseRecord(line)
		if err != nil || !whole {
			dropped++
			continue
		}
		records = append(records, r)
	}
	return records, dropped
}
