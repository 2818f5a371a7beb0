package userdata

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of what one file may hold.
const (
	maxParts  = 64           // in all, however they are packed
	maxPacked = 4            // multiparts, archives and compressions inside one another
	maxTotal  = 4 * MaxInput // bytes of all parts, unpacked
)

// Read reads what a file holds, in any form that cloud-init takes: #cloud-config, a script (#! or #cloud-boothook), a
// template (## template: jinja), #include and #include-once, #part-handler, #cloud-config-archive, MIME with one part
// or many, any of them compressed by gzip, and base64 of any of them. Like cloud-init it passes over blanks and empty
// lines before the first line; unlike it, also over a byte order mark and over comments before #cloud-config. from
// becomes Part.From, with the number of the part where there are several. What could not come through is an error that
// says why: JSON patches, upstart jobs, parts for one server of many (Launch-Index) and types that nothing handles.
// yaml reads the YAML in it.
func Read(from string, b []byte, yaml YAML) ([]Part, error) {
	r := forms{left: maxTotal, yaml: yaml}
	if len(b) > MaxInput {
		return nil, fmt.Errorf("reading user-data %s: it has %d bytes, %d are allowed", from, len(b), MaxInput)
	}
	if err := r.any(b, 0); err != nil {
		return nil, fmt.Errorf("reading user-data %s: %w", from, err)
	}
	handled := slices.ContainsFunc(r.parts,
		func(p Part) bool { return p.Opaque != nil && p.Opaque.Type == "text/part-handler" })
	for i := range r.parts {
		p := &r.parts[i]
		if p.From = from; len(r.parts) > 1 {
			p.From = fmt.Sprintf("%s, part %d", from, i+1)
		}
		if p.Opaque != nil && !handled && !known(p.Opaque.Type) {
			return nil, fmt.Errorf("reading user-data %s: nothing handles the type %s; add a #part-handler for it",
				p.From, p.Opaque.Type)
		}
		if err := p.check(); err != nil {
			return nil, err
		}
	}
	if len(r.parts) == 0 {
		return nil, fmt.Errorf("reading user-data %s: there is nothing in it", from)
	}
	return r.parts, nil
}

// forms gathers the parts of one file.
type forms struct {
	parts []Part
	left  int // bytes that may still come
	yaml  YAML
}

// prefixes are the beginnings by which cloud-init knows a type, in small letters; the longer ones come first where one
// begins with another.
func prefixes() [][2]string {
	return [][2]string{
		{"#cloud-config-archive", "text/cloud-config-archive"},
		{"#cloud-config-jsonp", "text/cloud-config-jsonp"},
		{"#cloud-config", cloudType},
		{boothook, hookType},
		{"## template: jinja", "text/jinja2"},
		{"#include-once", "text/x-include-once-url"},
		{"#include", "text/x-include-url"},
		{"#part-handler", "text/part-handler"},
		{"#upstart-job", "text/upstart-job"},
		{"#!", scriptType},
	}
}

// known reports whether cloud-init itself handles an opaque type.
func known(kind string) bool {
	return slices.ContainsFunc(prefixes(), func(p [2]string) bool { return p[1] == kind }) ||
		strings.HasPrefix(kind, scriptType+"-per-")
}

// typeOf is the type that the beginning of a part says, or "".
func typeOf(b []byte) string {
	begin := strings.ToLower(string(trimmedFront(b)[:min(len(trimmedFront(b)), 64)]))
	for _, p := range prefixes() {
		if strings.HasPrefix(begin, p[0]) {
			return p[1]
		}
	}
	return ""
}

// trimmedFront is b without a byte order mark, blanks and empty lines before it.
func trimmedFront(b []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\ufeff")), " \t\r\n\v\f")
}

// any reads a whole file, or what a compressed part held.
func (r *forms) any(b []byte, depth int) error {
	if r.left -= len(b); r.left < 0 {
		return fmt.Errorf("unpacked it has more than %d bytes", maxTotal)
	}
	if depth > maxPacked {
		return fmt.Errorf("it is packed more than %d times", maxPacked)
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		plain, err := unpack(b, MaxInput)
		if err != nil {
			return err
		}
		return r.any(plain, depth+1)
	}
	if kind := typeOf(b); kind != "" {
		return r.part(kind, "", b, depth)
	}
	if looksLikeMail(b) {
		return r.mail(trimmedFront(b), depth)
	}
	if begun, ok := afterComments(b); ok {
		return r.part(cloudType, "", begun, depth)
	}
	if plain, ok := unarmored(b); ok {
		return r.any(plain, depth+1)
	}
	return errors.New("it must start with #cloud-config, #!, or another first line that " +
		"says what it is (cloud-init docs, User data formats)")
}

// looksLikeMail is how cloud-init tells mail from anything else.
func looksLikeMail(b []byte) bool {
	return bytes.Contains(bytes.ToLower(b[:min(len(b), 4096)]), []byte("mime-version:"))
}

// afterComments finds #cloud-config behind a comment, which YAML allows there and cloud-init does not.
func afterComments(b []byte) ([]byte, bool) {
	for rest := trimmedFront(b); bytes.HasPrefix(rest, []byte("#")); {
		if typeOf(rest) == cloudType {
			return rest, true
		}
		_, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return nil, false
		}
		rest = trimmedFront(after)
	}
	return nil, false
}

// unarmored decodes base64, in which some clouds' tools keep user-data.
func unarmored(b []byte) ([]byte, bool) {
	plain, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(b), nil)))
	if err != nil || !bytes.HasPrefix(plain, []byte{0x1f, 0x8b}) && typeOf(plain) == "" && !looksLikeMail(plain) {
		return nil, false
	}
	return plain, true
}

// part reads one part of a type, which cloud-init knows or was told.
func (r *forms) part(kind, name string, b []byte, depth int) error {
	if len(r.parts) >= maxParts {
		return fmt.Errorf("it has more than %d parts", maxParts)
	}
	text := trimmedFront(b)
	switch kind {
	case cloudType:
		if !utf8.Valid(text) {
			return errors.New("it is not UTF-8")
		}
		config, err := parseConfig(withoutMark(b), r.yaml)
		if err != nil {
			return err
		}
		if _, ok := config["launch-index"]; ok {
			return errLaunchIndex()
		}
		r.parts = append(r.parts, Part{Config: config})
	case scriptType:
		r.parts = append(r.parts, Part{Script: string(text)})
	case hookType:
		if !bytes.HasPrefix(bytes.ToLower(text), []byte(boothook)) {
			text = append([]byte(boothook+"\n"), text...)
		}
		r.parts = append(r.parts, Part{Script: boothook + string(text[len(boothook):])})
	case "text/cloud-config-archive":
		return r.archive(b, depth)
	case "text/cloud-config-jsonp":
		return errors.New("#cloud-config-jsonp: a JSON patch needs the whole document, which only the server has; " +
			"write what it changes as #cloud-config")
	case "text/upstart-job":
		return errors.New("#upstart-job: no supported system has upstart; write a systemd unit with write_files")
	default:
		if !isName(name) {
			name = ""
		}
		r.parts = append(r.parts, Part{Opaque: &Opaque{Type: kind, Name: name, Content: slices.Clone(text)}})
	}
	return nil
}

// withoutMark keeps the empty lines, so that errors have the right line.
func withoutMark(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\ufeff")) }

func errLaunchIndex() error {
	return errors.New("Launch-Index chooses one of several servers; give the part to the server itself")
}
