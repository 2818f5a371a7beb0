package installed

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the "sqlite" driver

	"griddle/imagestore/packages"
)

const (
	maxHeader = 64 << 20 // bytes of one header: rpm's own limit is 256 MiB
	maxQuery  = time.Minute
)

// readRPM reads the first database that there is.
func readRPM(t *tree) ([]packages.Package, error) {
	for _, dir := range []string{"usr/lib/sysimage/rpm/", "var/lib/rpm/"} {
		found, there, err := t.readSQLite(dir + "rpmdb.sqlite")
		if there || err != nil {
			return found, err
		}
		for _, f := range []struct {
			name  string
			parse func([]byte) ([]packages.Package, error)
		}{{"Packages.db", parseNDB}, {"Packages", parseBDB}} {
			b, there, err := t.read(dir+f.name, maxRPM)
			if err != nil {
				return nil, err
			}
			if there {
				return f.parse(b)
			}
		}
	}
	return nil, nil
}

// readSQLite reads a copy of the database, with what its journal adds to it: SQLite wants to write beside it, and
// opens files by name.
func (t *tree) readSQLite(path string) ([]packages.Package, bool, error) {
	dir, err := os.MkdirTemp("", "griddle-rpm-")
	if err != nil {
		return nil, false, err
	}
	defer os.RemoveAll(dir)
	private := filepath.Join(dir, "rpmdb.sqlite")
	for _, suffix := range []string{"", "-wal"} {
		f, err := t.open(path+suffix, maxRPM)
		if err != nil {
			return nil, false, err
		}
		if f == nil {
			if suffix == "" {
				return nil, false, nil
			}
			continue
		}
		err = copyTo(private+suffix, f)
		f.Close()
		if err != nil {
			return nil, false, err
		}
	}
	out, err := querySQLite(t.ctx, private)
	return out, true, err
}

func copyTo(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.LimitReader(from, maxRPM))
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// querySQLite reads the headers of a database that may be forged: its schema may call no function, and the query is
// given a minute.
func querySQLite(ctx context.Context, path string) ([]packages.Package, error) {
	ctx, cancel := context.WithTimeout(ctx, maxQuery)
	defer cancel()
	db, err := sql.Open("sqlite",
		"file:"+path+"?_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx,
		fmt.Sprintf("SELECT blob FROM Packages WHERE length(blob) <= %d LIMIT %d", maxHeader, packages.MaxPackages+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer rows.Close()
	var out []packages.Package
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		p, ok, err := parseHeader(b)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, p)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return out, nil
}

// parseNDB reads rpm's own database: little-endian words, the first 32 bytes a header
//
//	"RpmP" | version 0 | generation | pages of slots | …
//
// then slots of 16 bytes, from the third of the first page on: "Slot" | package | offset in units of 16 bytes | length
// likewise. A blob is "BlbS" | package | generation | length in bytes | the header.
func parseNDB(b []byte) ([]packages.Package, error) {
	const page = 4096
	fail := func(why string) ([]packages.Package, error) {
		return nil, fmt.Errorf("%w: Packages.db %s", ErrDamaged, why)
	}
	word := func(at int64) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	if len(b) < 32 || string(b[:4]) != "RpmP" || word(4) != 0 {
		return fail("has an unknown version")
	}
	slots := int64(word(12)) * page
	if slots == 0 || slots > int64(len(b)) {
		return fail("is cut off")
	}
	var out []packages.Package
	// bytes that headers may still have: together no more than the file, lest one be named a million times
	spare := int64(len(b))
	for at := int64(32); at < slots; at += 16 {
		if string(b[at:at+4]) != "Slot" {
			return fail("has something else in place of a slot")
		}
		index, from := word(at+4), int64(word(at+8))*16
		if index == 0 || from == 0 { // free
			continue
		}
		if from+16 > int64(len(b)) || string(b[from:from+4]) != "BlbS" || word(from+4) != index {
			return fail("has a slot without a blob")
		}
		length := int64(word(from + 12))
		if spare -= length; from+16+length > int64(len(b)) || spare < 0 {
			return fail("is cut off")
		}
		p, ok, err := parseHeader(b[from+16:][:length])
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, p)
		}
		if len(out) > packages.MaxPackages {
			break
		}
	}
	return out, nil
}
