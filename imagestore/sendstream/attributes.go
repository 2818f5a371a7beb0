package sendstream

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// attributes reads what is behind a command's header into d.cmd. An attribute that the command has no use for is
// passed over, as the format wants it; one that it needs and lacks, and one that comes twice, are malformed.
func (d *Reader) attributes(l layout, b []byte) error {
	var want, seen uint64
	for _, a := range l.attrs {
		if a == 0 {
			break
		}
		want |= a.bit()
	}
	for len(b) > 0 {
		if len(b) < 2 {
			return fmt.Errorf("%w: 1 byte left over behind the attributes", ErrMalformed)
		}
		a := attr(binary.LittleEndian.Uint16(b))
		var value []byte
		if a == aData && d.version >= 2 {
			value, b = b[2:], nil
		} else {
			if len(b) < 4 {
				return fmt.Errorf("%w: attribute %v has no length", ErrMalformed, a)
			}
			n := int(binary.LittleEndian.Uint16(b[2:]))
			if n > len(b)-4 {
				return fmt.Errorf("%w: attribute %v has %d bytes, the command %d left", ErrMalformed, a, n, len(b)-4)
			}
			value, b = b[4:4+n:4+n], b[4+n:]
		}
		if a > aVeritySignature || want&a.bit() == 0 {
			continue
		}
		if seen&a.bit() != 0 {
			return fmt.Errorf("%w: attribute %v comes twice", ErrMalformed, a)
		}
		seen |= a.bit()
		if !d.assign(a, value) {
			return fmt.Errorf("%w: attribute %v cannot have these %d bytes", ErrMalformed, a, len(value))
		}
	}
	if missing := want &^ seen &^ optional; missing != 0 {
		return fmt.Errorf("%w: attribute %v is missing", ErrMalformed, attr(bits.TrailingZeros64(missing)))
	}
	return nil
}

// assign puts the value of an attribute into its field, and reports whether it has the size that it must have.
func (d *Reader) assign(a attr, v []byte) bool {
	c := &d.cmd
	switch a {
	case aUUID:
		return copy(c.UUID[:], v) == len(v) && len(v) == len(c.UUID)
	case aCloneUUID:
		return copy(c.CloneUUID[:], v) == len(v) && len(v) == len(c.CloneUUID)
	case aCtransid:
		return u64(&c.Ctransid, v)
	case aIno:
		return u64(&c.Ino, v)
	case aSize:
		return u64(&c.Size, v)
	case aMode:
		return u64(&c.Mode, v)
	case aUID:
		return u64(&c.UID, v)
	case aGID:
		return u64(&c.GID, v)
	case aRdev:
		return u64(&c.Rdev, v)
	case aCtime:
		return timespec(&c.Ctime, v)
	case aMtime:
		return timespec(&c.Mtime, v)
	case aAtime:
		return timespec(&c.Atime, v)
	case aOtime:
		return timespec(&c.Otime, v)
	case aXattrName:
		c.XattrName = string(v)
	case aXattrData, aData:
		c.Data = v
	case aPath:
		if string(v) != d.path {
			d.path = string(v)
		}
		c.Path = d.path
	case aPathTo:
		c.To = string(v)
	case aPathLink:
		c.Link = string(v)
	case aClonePath:
		c.ClonePath = string(v)
	case aFileOffset:
		return u64(&c.FileOffset, v)
	case aCloneCtransid:
		return u64(&c.CloneCtransid, v)
	case aCloneOffset:
		return u64(&c.CloneOffset, v)
	case aCloneLen:
		return u64(&c.CloneLen, v)
	case aFallocateMode:
		return u32(&c.FallocateMode, v)
	case aFileAttr:
		return u64(&c.FileAttr, v)
	case aUnencodedFileLen:
		return u64(&c.UnencodedFileLen, v)
	case aUnencodedLen:
		return u64(&c.UnencodedLen, v)
	case aUnencodedOffset:
		return u64(&c.UnencodedOffset, v)
	case aCompression:
		return u32((*uint32)(&c.Compression), v)
	case aEncryption:
		return u32(&c.Encryption, v)
	case aVerityAlgorithm:
		if len(v) != 1 {
			return false
		}
		c.VerityAlgorithm = v[0]
	case aVerityBlockSize:
		return u32(&c.VerityBlockSize, v)
	case aVeritySalt:
		c.VeritySalt = v
	case aVeritySignature:
		c.VeritySignature = v
	}
	return true
}

func u64(to *uint64, v []byte) bool {
	if len(v) != 8 {
		return false
	}
	*to = binary.LittleEndian.Uint64(v)
	return true
}

func u32(to *uint32, v []byte) bool {
	if len(v) != 4 {
		return false
	}
	*to = binary.LittleEndian.Uint32(v)
	return true
}

func timespec(to *time.Time, v []byte) bool {
	if len(v) != 12 {
		return false
	}
	ns := binary.LittleEndian.Uint32(v[8:])
	if ns >= 1e9 {
		return false
	}
	*to = time.Unix(int64(binary.LittleEndian.Uint64(v)), int64(ns)).UTC()
	return true
}
