package volume

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// The limits of what is read of the root folder.
const (
	maxIndex = 1 << 20 // bytes
	maxNames = 4096
)

// indexName is "$I30", the name of the attributes that are a folder's index.
const indexName = "$\x00I\x003\x000\x00"

// names lists the names in a folder: first those in its record, then those in the blocks of its index, in the order in
// which these are. A block that is not in use has none.
func (b Boot) names(r io.ReaderAt, rec []byte) ([]string, error) {
	var names []string
	block := 0
	for a := range attributes(rec) {
		if a.named != indexName {
			continue
		}
		switch {
		case a.kind == attrIndexRoot && len(a.value) > 32:
			block = int(binary.LittleEndian.Uint32(a.value[8:]))
			names = entries(names, a.value[16:])
		case a.kind == attrIndexAllocation:
			if block < stride || block > 64<<10 || block%stride != 0 {
				return nil, fmt.Errorf("reading the root folder: blocks of %d bytes are impossible", block)
			}
			p, err := b.content(r, a, maxIndex)
			if err != nil {
				return nil, fmt.Errorf("reading the root folder: %w", err)
			}
			for ; len(p) >= block; p = p[block:] {
				if fix(p[:block], "INDX") == nil {
					names = entries(names, p[24:block])
				}
			}
		}
	}
	return names, nil
}

// entries adds the names of a node of an index: a header of 16 bytes, then entries that each say how long they are.
// Entries that are the short name of a long one are left out.
func entries(names []string, p []byte) []string {
	le := binary.LittleEndian
	at, end := int64(le.Uint32(p)), min(int64(le.Uint32(p[4:])), int64(len(p)))
	const name = 16 + 66 // where the name is: after the entry's header and the fixed part of $FILE_NAME
	for at >= 16 && at+16 <= end && len(names) < maxNames {
		length := int64(le.Uint16(p[at+8:]))
		if length < 16 || at+length > end || p[at+12]&2 != 0 { // 2: the last one, without a name
			return names
		}
		e := p[at : at+length]
		if len(e) >= name {
			n, space := 2*int(e[name-2]), e[name-1]
			if space != 2 && name+n <= len(e) { // 2: DOS
				names = append(names, decode(e[name:name+n]))
			}
		}
		at += length
	}
	return names
}

func decode(p []byte) string {
	u := make([]uint16, len(p)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(p[2*i:])
	}
	return string(utf16.Decode(u))
}

// System says whether this looks like the volume from which Windows runs: its root has the folders of a Windows.
func (v *Volume) System() bool {
	has := func(name string) bool {
		return slices.ContainsFunc(v.Names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	return has("Windows") && (has("Program Files") || has("Users"))
}
