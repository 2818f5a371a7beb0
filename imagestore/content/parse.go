package content

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrFormat is wrapped by Parse's errors about bytes that are not a manifest.
var ErrFormat = errors.New("not a content manifest")

// Parse reads a manifest. It accepts only what WriteTo writes, with paths below the root whose directories come
// before them, and hard links that name an entry above them. Errors name the line.
func Parse(r io.Reader) (*Manifest, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	var buf []byte
	line, err := readLine(br, &buf)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading content manifest: %w", err)
	}
	if string(line) != header {
		return nil, fmt.Errorf("reading content manifest: line 1: %w: it begins with %.40q, want %q",
			ErrFormat, line, header)
	}
	p := parser{types: map[string]Type{}}
	for n := 2; ; n++ {
		line, err := readLine(br, &buf)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = p.line(line)
		}
		if err != nil {
			return nil, fmt.Errorf("reading content manifest: line %d: %w", n, err)
		}
	}
	if len(p.m.Entries) == 0 {
		return nil, fmt.Errorf("reading content manifest: %w: the root is missing", ErrFormat)
	}
	return &p.m, nil
}

// readLine gives the next line without its newline, valid until the next call, or io.EOF after the last one.
func readLine(br *bufio.Reader, buf *[]byte) ([]byte, error) {
	*buf = (*buf)[:0]
	for {
		part, err := br.ReadSlice('\n')
		if len(*buf)+len(part) > MaxLine {
			return nil, fmt.Errorf("%w: the line is longer than %d bytes", ErrFormat, MaxLine)
		}
		*buf = append(*buf, part...)
		switch {
		case err == nil:
			return (*buf)[:len(*buf)-1], nil
		case err == bufio.ErrBufferFull:
		case err == io.EOF && len(*buf) > 0:
			return nil, fmt.Errorf("%w: it ends in the middle of a line", ErrFormat)
		default:
			return nil, err
		}
	}
}

type parser struct {
	m     Manifest
	types map[string]Type // of every path so far
	last  string
	again []byte
}

func (p *parser) line(line []byte) error {
	if len(p.m.Entries) == MaxEntries {
		return fmt.Errorf("%w: more than %d paths", ErrFormat, MaxEntries)
	}
	e, err := parseEntry(string(line))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if p.again = e.appendLine(p.again[:0]); !bytes.Equal(p.again, line) {
		return fmt.Errorf("%w: %.200q must be written as %.200q", ErrFormat, line, p.again)
	}
	if err := p.place(&e); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	p.m.Entries = append(p.m.Entries, e)
	p.types[e.Path] = e.Type
	p.last = e.Path
	return nil
}

// place checks what an entry says against the entries above it.
func (p *parser) place(e *Entry) error {
	if len(p.m.Entries) == 0 {
		if e.Path != "." || e.Type != Directory {
			return errors.New("the first entry is not the root directory")
		}
		return nil
	}
	if !less(p.last, e.Path) {
		return fmt.Errorf("%s comes after %s", escape(e.Path), escape(p.last))
	}
	if p.types[parent(e.Path)] != Directory {
		return fmt.Errorf("%s has no directory above it", escape(e.Path))
	}
	if e.Type == HardLink {
		switch p.types[e.Target] {
		case 0:
			return fmt.Errorf("%s is a hard link to %s, which is not above it", escape(e.Path), escape(e.Target))
		case Directory, HardLink:
			return fmt.Errorf("%s is a hard link to %s, which is %s", escape(e.Path), escape(e.Target),
				p.types[e.Target].words())
		}
	}
	return nil
}

func parseEntry(line string) (Entry, error) {
	var e Entry
	kind, rest, _ := strings.Cut(line, " ")
	path, rest, _ := strings.Cut(rest, " ")
	if len(kind) != 1 || !strings.Contains("dflbcpsh", kind) {
		return e, fmt.Errorf("unknown type %.20q", kind)
	}
	e.Type = Type(kind[0])
	var err error
	if e.Path, err = unescape(path); err != nil {
		return e, err
	}
	if err := checkPath(e.Path); err != nil {
		return e, err
	}
	if e.Type == HardLink {
		target, err := field(&rest, "to=")
		if err != nil {
			return e, err
		}
		if e.Target, err = unescape(target); err != nil {
			return e, err
		}
		if rest != "" {
			return e, errors.New("a hard link has a target and nothing more")
		}
		return e, checkPath(e.Target)
	}
	for _, n := range []struct {
		to         *uint32
		base, bits int
	}{{&e.Mode, 8, 12}, {&e.UID, 10, 32}, {&e.GID, 10, 32}} {
		s, err := field(&rest, "")
		if err != nil {
			return e, err
		}
		v, err := strconv.ParseUint(s, n.base, n.bits)
		if err != nil {
			return e, err
		}
		*n.to = uint32(v)
	}
	mtime, err := field(&rest, "")
	if err != nil {
		return e, err
	}
	if e.Mtime, err = parseTime(mtime); err != nil {
		return e, err
	}
	if err := e.parseSpecial(&rest); err != nil {
		return e, err
	}
	return e, e.parseXattrs(rest)
}

// parseSpecial reads the fields that only one type has.
func (e *Entry) parseSpecial(rest *string) error {
	switch e.Type {
	case Regular:
		size, err := field(rest, "size=")
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("bad size %.30q", size)
		}
		e.Size = n
		sum, err := field(rest, "sha256=")
		if err != nil {
			return err
		}
		if len(sum) != 2*len(e.SHA256) {
			return fmt.Errorf("bad digest %.80q", sum)
		}
		if _, err := hex.Decode(e.SHA256[:], []byte(sum)); err != nil {
			return err
		}
	case Symlink:
		target, err := field(rest, "to=")
		if err != nil {
			return err
		}
		if e.Target, err = unescape(target); err != nil {
			return err
		}
		if e.Target == "" || len(e.Target) > MaxPath || strings.IndexByte(e.Target, 0) >= 0 {
			return errors.New("not a possible target of a symbolic link")
		}
		if e.Mode != 0o777 {
			return errors.New("the mode of a symbolic link is 0777")
		}
	case BlockDevice, CharDevice:
		dev, err := field(rest, "dev=")
		if err != nil {
			return err
		}
		major, minor, _ := strings.Cut(dev, ":")
		a, err := strconv.ParseUint(major, 10, 32)
		if err != nil {
			return err
		}
		b, err := strconv.ParseUint(minor, 10, 32)
		if err != nil {
			return err
		}
		e.Major, e.Minor = uint32(a), uint32(b)
	}
	return nil
}

func (e *Entry) parseXattrs(rest string) error {
	for rest != "" {
		f, err := field(&rest, "x:")
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(f, "=")
		var x Xattr
		if x.Name, err = unescape(name); err != nil {
			return err
		}
		if x.Name == "" || len(x.Name) > 255 || strings.IndexByte(x.Name, 0) >= 0 || !wanted(x.Name) {
			return fmt.Errorf("bad attribute name %.40q", name)
		}
		if n := len(e.Xattrs); n > 0 && e.Xattrs[n-1].Name >= x.Name {
			return fmt.Errorf("attribute %s is out of order", name)
		}
		if x.Value, err = base64.StdEncoding.DecodeString(value); err != nil {
			return err
		}
		if len(x.Value) > 1<<16 {
			return fmt.Errorf("attribute %s is longer than 64 KiB", name)
		}
		e.Xattrs = append(e.Xattrs, x)
	}
	return nil
}

// field takes the next field off rest and gives what follows prefix in it.
func field(rest *string, prefix string) (string, error) {
	f, r, _ := strings.Cut(*rest, " ")
	if f == "" || !strings.HasPrefix(f, prefix) {
		return "", fmt.Errorf("want a field %q, have %.40q", prefix, f)
	}
	*rest = r
	return f[len(prefix):], nil
}

func parseTime(s string) (Time, error) {
	sec, nsec, _ := strings.Cut(s, ".")
	a, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return Time{}, err
	}
	b, err := strconv.ParseUint(nsec, 10, 32)
	if err != nil || b > 999999999 {
		return Time{}, fmt.Errorf("bad time %.40q", s)
	}
	return Time{a, int32(b)}, nil
}

// checkPath refuses every path that is not "." or clean and below it.
func checkPath(p string) error {
	if p == "." {
		return nil
	}
	if len(p) > MaxPath || strings.IndexByte(p, 0) >= 0 {
		return fmt.Errorf("not a possible path: %.60q", p)
	}
	for c := range strings.SplitSeq(p, "/") {
		if c == "" || c == "." || c == ".." || len(c) > 255 {
			return fmt.Errorf("%.60q is not a plain path below the root", p)
		}
	}
	return nil
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if len(s) < i+4 || s[i+1] != 'x' {
			return "", fmt.Errorf("bad escape in %.60q", s)
		}
		v, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
		if err != nil {
			return "", fmt.Errorf("bad escape in %.60q", s)
		}
		b = append(b, byte(v))
		i += 3
	}
	return string(b), nil
}
