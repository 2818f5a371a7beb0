package site

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// KeymapPath is the file in the archive that holds the keymap.
const KeymapPath = "etc/griddle/keymap.bmap"

// DefaultKeymap is the one that is built into the kernel; it needs no file.
const DefaultKeymap = "us"

const (
	keymapMagic  = "bkeymap"
	keymapTables = 256 // MAX_NR_KEYMAPS in include/uapi/linux/keyboard.h: one for each set of modifiers
	keymapKeys   = 128 // what loadkeys writes of each table, NR_KEYS/2

	// MaxKeymap is the size of the largest keymap that the format allows, in bytes.
	MaxKeymap = len(keymapMagic) + keymapTables*(1+2*keymapKeys)
)

// KeymapTable is what the keys mean while certain modifiers are pressed.
type KeymapTable struct {
	// sum of 1<<KG_SHIFT, 1<<KG_ALTGR… of include/uapi/linux/keyboard.h; the kernel calls it the table's number
	Modifiers byte
	Keys      [keymapKeys]uint16
}

// ParseKeymap reads a binary keymap as "loadkeys -b" of Debian's package kbd and busybox's dumpkmap write it, tables in
// ascending order:
//
//	+-----------+----------------+-------------------------------------+
//	| "bkeymap" | 256 flags: 1,  | for each flag that is 1: 128 values |
//	|  7 bytes  | the table is   | of 2 bytes, little-endian, as       |
//	|           | there; or 0    | KDSKBENT takes them                 |
//	+-----------+----------------+-------------------------------------+
//
// A file that is too short or too long, or has another flag, is refused: a user could not type with half a keymap.
func ParseKeymap(b []byte) ([]KeymapTable, error) {
	head := len(keymapMagic) + keymapTables
	if len(b) < head || string(b[:len(keymapMagic)]) != keymapMagic {
		return nil, errors.New("reading a keymap: not a binary keymap, or cut off")
	}
	flags, rest := b[len(keymapMagic):head], b[head:]
	count := 0
	for i, f := range flags {
		if f > 1 {
			return nil, fmt.Errorf("reading a keymap: flag %d is %d, not 0 or 1", i, f)
		}
		count += int(f)
	}
	if want := count * 2 * keymapKeys; len(rest) != want {
		return nil, fmt.Errorf("reading a keymap: %d bytes for %d tables, want %d", len(rest), count, want)
	}
	if flags[0] == 0 {
		return nil, errors.New("reading a keymap: no table for keys without modifiers")
	}
	tables := make([]KeymapTable, 0, count)
	for i, f := range flags {
		if f == 0 {
			continue
		}
		t := KeymapTable{Modifiers: byte(i)}
		for k := range t.Keys {
			t.Keys[k] = binary.LittleEndian.Uint16(rest[2*k:])
		}
		rest = rest[2*keymapKeys:]
		tables = append(tables, t)
	}
	return tables, nil
}
