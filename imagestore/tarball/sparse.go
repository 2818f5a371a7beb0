package tarball

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"griddle/imagestore/content"
)

const (
	// holeUnit is what holes are looked for in, in bytes: a run of zeros of that length, at a multiple of it. So an
	// archive depends on what files hold, and not on how a filesystem stores it.
	holeUnit = 64 << 10
	// holesFrom is how many bytes of holes a file has at the least that is written as a sparse one.
	holesFrom = 1 << 20
	// maxHoles bounds the map of a file: one with more pieces is written whole.
	maxHoles = 1 << 16
)

// extent is a piece of a file that has data.
type extent struct{ at, length int64 }

// extents finds the data of a file of the given size: all but its holes. It is nil where the file has too little of
// them, or too many, to be written as a sparse one.
func extents(f *os.File, size int64) ([]extent, error) {
	if size < holesFrom {
		return nil, nil
	}
	var out []extent
	data := int64(0)
	buf, zeros := make([]byte, holeUnit), make([]byte, holeUnit)
	for at := int64(0); at < size; {
		// What the filesystem knows as a hole need not be read.
		next, _, err := content.NextData(int(f.Fd()), at, size)
		if err != nil {
			return nil, err
		}
		if next == size {
			break
		}
		at = max(at, next/holeUnit*holeUnit)
		n, err := f.ReadAt(buf[:min(holeUnit, size-at)], at)
		if n == 0 {
			return nil, fmt.Errorf("looking for holes: %w", err)
		}
		if !bytes.Equal(buf[:n], zeros[:n]) {
			if last := len(out) - 1; last >= 0 && out[last].at+out[last].length == at {
				out[last].length += int64(n)
			} else if out = append(out, extent{at, int64(n)}); len(out) > maxHoles {
				return nil, nil
			}
			data += int64(n)
		}
		at += int64(n)
	}
	if size-data < holesFrom {
		return nil, nil
	}
	if len(out) == 0 || out[len(out)-1].at+out[len(out)-1].length < size {
		out = append(out, extent{size, 0}) // as GNU tar does: the map reaches the end of the file
	}
	return out, nil
}

// sparseHeader writes what is before the data of a sparse file in the GNU format 1.0: a PAX header with the file's real
// name and size, a header by the name of a directory that a reader without sparse files would make, and the map.
// (archive/tar reads this format and writes none.)
func sparseHeader(w io.Writer, h *tar.Header, all []extent) (data int64, err error) {
	list := []byte(strconv.Itoa(len(all)) + "\n")
	for _, x := range all {
		list = fmt.Appendf(list, "%d\n%d\n", x.at, x.length)
		data += x.length
	}
	list = append(list, make([]byte, padding(int64(len(list))))...)
	stored := int64(len(list)) + data
	records := map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": h.Name,
		"GNU.sparse.realsize": strconv.FormatInt(h.Size, 10), "mtime": paxTime(h.ModTime),
		"size": strconv.FormatInt(stored, 10), "uid": strconv.Itoa(h.Uid), "gid": strconv.Itoa(h.Gid),
	}
	maps.Copy(records, h.PAXRecords)
	var text []byte
	for _, key := range slices.Sorted(maps.Keys(records)) {
		text = append(text, paxRecord(key, records[key])...)
	}
	name := path.Join(path.Dir(h.Name), "GNUSparseFile.0", path.Base(h.Name))
	b := ustarHeader(tar.TypeXHeader, path.Join(path.Dir(h.Name), "PaxHeaders.0", path.Base(h.Name)),
		&tar.Header{Mode: 0o644, Size: int64(len(text)), ModTime: h.ModTime})
	b = append(append(b, text...), make([]byte, padding(int64(len(text))))...)
	plain := *h
	plain.Size = stored
	b = append(b, ustarHeader(tar.TypeReg, name, &plain)...)
	_, err = w.Write(append(b, list...))
	return data, err
}

// padding is how many bytes fill up the last block of 512.
func padding(n int64) int64 { return -n & 511 }

// paxRecord is "LENGTH KEY=VALUE\n", where LENGTH counts itself too (POSIX.1-2017 pax, "Extended Header Keyword").
func paxRecord(key, value string) string {
	rest := len(key) + len(value) + 3
	n := rest + len(strconv.Itoa(rest))
	n = rest + len(strconv.Itoa(n))
	return fmt.Sprintf("%d %s=%s\n", n, key, value)
}

// paxTime is a time in seconds with a fraction, negative as a whole before 1970.
func paxTime(t time.Time) string {
	sec, ns, sign := t.Unix(), int64(t.Nanosecond()), ""
	if sec < 0 && ns > 0 {
		sec, ns = sec+1, 1e9-ns
	}
	if t.Unix() < 0 {
		sec, sign = -sec, "-"
	}
	return fmt.Sprintf("%s%d.%09d", sign, sec, ns)
}

// ustarHeader is a header block of 512 bytes (POSIX.1-2017 pax, "ustar Interchange Format"). What does not fit its
// fields is zero there, and in the PAX header.
func ustarHeader(kind byte, name string, h *tar.Header) []byte {
	b := make([]byte, 512)
	octal := func(at, size int, n int64) {
		if n < 0 || n >= int64(math.Pow(8, float64(size-1))) {
			n = 0
		}
		copy(b[at:], fmt.Sprintf("%0*o", size-1, n))
	}
	copy(b[:100], name[:min(len(name), 100)])
	octal(100, 8, h.Mode)
	octal(108, 8, int64(h.Uid))
	octal(116, 8, int64(h.Gid))
	octal(124, 12, h.Size)
	octal(136, 12, h.ModTime.Unix())
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	octal(329, 8, 0)
	octal(337, 8, 0)
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}
