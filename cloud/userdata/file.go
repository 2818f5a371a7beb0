package userdata

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// File is left on the server at first boot, byte for byte.
type File struct {
	Path    string // absolute and clean
	Content []byte
	Owner   string // user:group; empty: root:root. Others than root may be users that the same user-data makes
	Mode    uint32 // permission bits, to 07777; 0: 0644
}

// entry is the file's entry of write_files, in whichever encoding is shortest, legible text preferred.
func (f *File) entry() (map[string]any, error) {
	owner, mode := f.Owner, f.Mode
	if owner == "" {
		owner = "root:root"
	}
	if mode == 0 {
		mode = 0o644
	}
	switch {
	case !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" || carried(f.Path) != nil:
		return nil, fmt.Errorf("%q is not an absolute path in its shortest form", f.Path)
	case !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*:[A-Za-z0-9_][A-Za-z0-9._-]*$`).MatchString(owner):
		return nil, fmt.Errorf("%s: the owner %q is not user:group", f.Path, owner)
	case mode > 0o7777:
		return nil, fmt.Errorf("%s: the mode %#o has more than permission bits", f.Path, mode)
	case len(f.Content) > MaxInput:
		return nil, fmt.Errorf("%s: it has %d bytes, %d are allowed", f.Path, len(f.Content), MaxInput)
	}
	e := map[string]any{"path": f.Path, "owner": owner, "permissions": fmt.Sprintf("%04o", mode)}
	if owner != "root:root" {
		// Files are written before users are made, unless they wait.
		e["defer"] = true
	}
	packed, err := pack(f.Content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	plain := base64.StdEncoding.EncodeToString(f.Content)
	switch {
	case legible(f.Content) && len(f.Content) <= 512+len(packed)+len(packed)/3:
		e["content"] = string(f.Content)
	case len(plain) <= base64.StdEncoding.EncodedLen(len(packed)):
		e["encoding"], e["content"] = "b64", plain
	default:
		e["encoding"], e["content"] = "gz+b64", base64.StdEncoding.EncodeToString(packed)
	}
	return e, nil
}

// legible reports whether content can stand in YAML as it is, for people to read.
func legible(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if r != '\n' && r != '\t' && !printable(r) {
			return false
		}
	}
	return true
}

// pack compresses; the same bytes always give the same bytes.
func pack(b []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = z.Write(b)
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	return out.Bytes(), nil
}

// Decode returns the bytes that an entry of write_files leaves on the server. It is the opposite of what Merge does
// with a Part's File, to show or check user-data; limit bounds them.
func Decode(entry map[string]any, limit int) ([]byte, error) {
	content, _ := entry["content"].(string)
	encoding, _ := entry["encoding"].(string)
	b := []byte(content)
	var err error
	switch strings.ToLower(encoding) {
	case "", "text/plain":
	case "b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		if b, err = base64.StdEncoding.DecodeString(content); err != nil {
			return nil, fmt.Errorf("decoding a file: %w", err)
		}
	default:
		return nil, fmt.Errorf("decoding a file: the encoding %q is not known", encoding)
	}
	if strings.HasPrefix(strings.ToLower(encoding), "gz") {
		return unpack(b, limit)
	}
	return b, nil
}
