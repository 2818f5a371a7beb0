package tree

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
)

// write writes one entry in plain form. A folder can come again, with other attributes: the last ones
// count, as with tar(1).
func (v *Copier) write(name string, h *tar.Header, content io.Reader) error {
	out := &tar.Header{
		Format: tar.FormatPAX, Typeflag: h.Typeflag, Name: "./" + name, Linkname: h.Linkname, Size: h.Size,
		Mode: h.Mode & 0o7777, Uid: h.Uid, Gid: h.Gid, ModTime: h.ModTime, Devmajor: h.Devmajor, Devminor: h.Devminor,
		PAXRecords: map[string]string{},
	}
	switch {
	case name == ".":
		out.Name = "./"
	case h.Typeflag == tar.TypeDir:
		out.Name += "/"
	}
	if h.Typeflag != tar.TypeReg {
		out.Size = 0
	}
	attributes := 0
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") {
			out.PAXRecords[key] = value
			attributes += len(key) + len(value)
		}
	}
	if v.packer != nil && out.Size > PieceSize {
		kept, size, err := v.packer.pack(content, out.Size)
		if err != nil {
			return err
		}
		switch {
		case size == out.Size:
		case v.Found.Packed != nil:
			v.Found.Packed[name] = kept
			out.Size = size
		default:
			if err := v.out.Flush(); err != nil {
				return err
			}
			v.Found.Bytes += kept.Blocks * BlockSize
			v.wrote(name, h, attributes)
			return writeSparse(v.to, out, kept, v.packer.spool, size)
		}
		content = v.packer.spool
	}
	if err := v.out.WriteHeader(out); err != nil {
		return err
	}
	if out.Size > 0 {
		if err := v.content(content); err != nil {
			return err
		}
	}
	v.wrote(name, h, attributes)
	return nil
}

// wrote notes an entry that is in the archive now, and the room that it takes besides its content.
func (v *Copier) wrote(name string, h *tar.Header, attributes int) {
	v.seen[name] = h.Typeflag
	v.noteTime(name, h)
	if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeSymlink && len(h.Linkname) > 59 {
		v.Found.Bytes += BlockSize
	}
	// A folder takes some 8 bytes and the name for each entry; half-full blocks double that.
	v.Found.Bytes += int64(2 * (8 + len(path.Base(name))))
	if attributes > 80 { // what does not fit beside an inode of 256 bytes has a block of its own
		v.Found.Bytes += BlockSize
	}
}

// content copies the content of a file, and counts the blocks that it will take: those that are zero become holes,
// except where the filesystem's maker knows none.
func (v *Copier) content(from io.Reader) error {
	for {
		n, err := io.ReadFull(from, v.buffer)
		for block := range slices.Chunk(v.buffer[:n], BlockSize) {
			if v.rules.Solid || !IsZero(block) {
				v.Found.Bytes += BlockSize
			}
		}
		if _, werr := v.out.Write(v.buffer[:n]); werr != nil {
			return werr
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// IsZero says whether all bytes are zero.
func IsZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// noteTime keeps the times that a plain inode does not hold. Of a folder that comes again the last one counts, and a
// further name of a file has none of its own.
func (v *Copier) noteTime(name string, h *tar.Header) {
	if v.Found.Times == nil || h.Typeflag == tar.TypeLink {
		return
	}
	delete(v.Found.Times, name)
	if s := h.ModTime.Unix(); s != int64(int32(s)) || h.ModTime.Nanosecond() != 0 {
		v.Found.Times[name] = h.ModTime
	}
}
