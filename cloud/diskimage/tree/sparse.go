package tree

import (
	"archive/tar"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// writeSparse writes an entry of a file with holes as GNU tar does (tar's manual, "PAX Format, Version 1.0"),
// which tar.Writer cannot:
//
//	pax header   GNU.sparse.major=1, minor=0, name, realsize; the file's owner, time and attributes
//	ustar header size of all that follows
//	map          the number of pieces, then offset and length of each, one a line; padded to 512 bytes
//	pieces       one behind the other; padded to 512 bytes
//
// to is what the archive's own writer writes to, flushed. length is how many bytes the pieces have.
func writeSparse(to io.Writer, h *tar.Header, kept Packed, pieces io.Reader, length int64) error {
	var list strings.Builder
	fmt.Fprintf(&list, "%d\n", len(kept.Pieces)+1)
	for _, n := range kept.Pieces {
		fmt.Fprintf(&list, "%d\n%d\n", n*PieceSize, min(PieceSize, kept.Size-n*PieceSize))
	}
	fmt.Fprintf(&list, "%d\n0\n", kept.Size) // the hole at the end
	list.WriteString(padding(int64(list.Len())))

	records := maps.Clone(h.PAXRecords)
	maps.Copy(records, map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": h.Name,
		"GNU.sparse.realsize": fmt.Sprint(kept.Size), "uid": fmt.Sprint(h.Uid), "gid": fmt.Sprint(h.Gid),
		"mtime": seconds(h.ModTime), "size": fmt.Sprint(int64(list.Len()) + length),
	})
	var extended strings.Builder
	for _, key := range slices.Sorted(maps.Keys(records)) {
		extended.WriteString(record(key, records[key]))
	}
	size := int64(extended.Len())
	_, err := io.Copy(to, io.MultiReader(
		strings.NewReader(ustar("PaxHeaders/sparse", 'x', 0o644, size)+extended.String()+padding(size)),
		strings.NewReader(ustar("sparse", '0', h.Mode, min(int64(list.Len())+length, 1<<33-1))+list.String()),
		io.LimitReader(pieces, length), strings.NewReader(padding(length))))
	return err
}

// record is a line of a pax header, which begins with its own length.
func record(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	n := len(rest)
	for len(fmt.Sprint(n)) != n-len(rest) {
		n = len(rest) + len(fmt.Sprint(n))
	}
	return fmt.Sprint(n) + rest
}

// seconds is a time in decimals, as pax headers have it.
func seconds(t time.Time) string {
	s, ns := t.Unix(), int64(t.Nanosecond())
	sign := ""
	if s < 0 && ns > 0 {
		s, ns = s+1, 1e9-ns
	}
	if s <= 0 && t.Unix() < 0 {
		sign, s = "-", -s
	}
	return fmt.Sprintf("%s%d.%09d", sign, s, ns)
}

// ustar is a header of 512 bytes (POSIX.1-2017, pax, "ustar Interchange Format").
func ustar(name string, kind byte, mode, size int64) string {
	var b [512]byte
	copy(b[0:100], name)
	copy(b[100:], fmt.Sprintf("%07o\x00%07o\x00%07o\x00%011o\x00%011o\x00", mode&0o7777, 0, 0, size, 0))
	copy(b[148:], "        ")
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return string(b[:])
}

// padding fills the last block of n bytes.
func padding(n int64) string { return strings.Repeat("\x00", int(-n&511)) }
