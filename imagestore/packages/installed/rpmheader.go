package installed

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"griddle/imagestore/packages"
)

// The tags of a header that are read, and their types.
const (
	tagName, tagVersion, tagRelease, tagEpoch, tagArch = 1000, 1001, 1002, 1003, 1022

	typeInt32, typeString, typeI18N = 4, 6, 9

	maxTag = 256 // bytes of a text and its end: what a field of package packages can have
)

// parseHeader reads a header as it is in rpm's databases:
//
//	entries u32 | bytes of data u32 | entries × (tag u32 | type u32 | offset u32 | count u32) | data
//
// all big-endian, offsets from the start of the data. False where it is no package but a key, which rpm keeps in the
// same place under the name "gpg-pubkey".
func parseHeader(b []byte) (packages.Package, bool, error) {
	fail := func(why string) (packages.Package, bool, error) {
		return packages.Package{}, false, fmt.Errorf("%w: a header %s", ErrDamaged, why)
	}
	if len(b) < 8 {
		return fail("is cut off")
	}
	entries, size := int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:]))
	if 8+16*entries+size > int64(len(b)) {
		return fail("is cut off")
	}
	data := b[8+16*entries:][:size]
	text := map[uint32]string{}
	for i := range entries {
		e := b[8+16*i:]
		tag, kind, offset := binary.BigEndian.Uint32(e), binary.BigEndian.Uint32(e[4:]),
			int64(binary.BigEndian.Uint32(e[8:]))
		switch tag {
		case tagName, tagVersion, tagRelease, tagArch:
			if kind != typeString && kind != typeI18N || offset >= size {
				return fail(fmt.Sprintf("has a tag %d that is not text", tag))
			}
			// No further than a text may reach: a header can name one of millions of bytes a million times.
			s, _, ok := bytes.Cut(data[offset:min(size, offset+maxTag)], []byte{0})
			if !ok {
				return fail(fmt.Sprintf("has a tag %d without an end within %d bytes", tag, maxTag))
			}
			text[tag] = string(s)
		case tagEpoch:
			if kind != typeInt32 || offset+4 > size {
				return fail("has an epoch that is not a number")
			}
			text[tag] = strconv.FormatUint(uint64(binary.BigEndian.Uint32(data[offset:])), 10) + ":"
		}
	}
	p := packages.Package{Name: text[tagName], Version: text[tagEpoch] + text[tagVersion] + "-" + text[tagRelease],
		Arch: or(text[tagArch])}
	if text[tagName] == "" || text[tagVersion] == "" || text[tagRelease] == "" {
		return fail("has no name, version or release")
	}
	return p, p.Name != "gpg-pubkey", nil
}
