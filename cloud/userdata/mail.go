package userdata

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"strings"
)

// mail reads MIME (RFC 2046): one part or many, also inside one another.
func (r *forms) mail(b []byte, depth int) error {
	m, err := netmail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("reading MIME: %w", err)
	}
	return r.entity(textproto.MIMEHeader(m.Header), m.Body, depth)
}

// entity reads a header and what it speaks of.
func (r *forms) entity(h textproto.MIMEHeader, body io.Reader, depth int) error {
	if depth > maxPacked {
		return fmt.Errorf("it is packed more than %d times", maxPacked)
	}
	kind, params := "text/plain", map[string]string{}
	if s := h.Get("Content-Type"); s != "" {
		var err error
		if kind, params, err = mime.ParseMediaType(s); err != nil {
			return fmt.Errorf("reading MIME: the Content-Type %.100q: %w", s, err)
		}
	}
	if h.Get("Launch-Index") != "" {
		return errLaunchIndex()
	}
	if strings.HasPrefix(kind, "multipart/") {
		return r.multipart(params["boundary"], body, depth)
	}
	content, err := decoded(h.Get("Content-Transfer-Encoding"), body)
	if err != nil {
		return err
	}
	if r.left -= len(content); r.left < 0 || len(content) > MaxInput {
		return fmt.Errorf("a part has more than %d bytes, or all of them more than %d", MaxInput, maxTotal)
	}
	if content, err = inUTF8(params["charset"], content); err != nil {
		return err
	}
	_, disposition, _ := mime.ParseMediaType(h.Get("Content-Disposition"))
	return r.typed(kind, disposition["filename"], content, depth)
}

func (r *forms) multipart(boundary string, body io.Reader, depth int) error {
	if boundary == "" {
		return errors.New("reading MIME: multipart without a boundary")
	}
	parts := multipart.NewReader(body, boundary)
	for n := 1; ; n++ {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading MIME, part %d: %w (is the file cut off?)", n, err)
		}
		if n > maxParts {
			return fmt.Errorf("it has more than %d parts", maxParts)
		}
		if err := r.entity(p.Header, p, depth+1); err != nil {
			return fmt.Errorf("part %d: %w", n, err)
		}
	}
}

// typed reads a part whose type was declared, as cloud-init does: what is declared as text or as a script is what it
// begins with, and what is compressed is looked at again.
func (r *forms) typed(kind, name string, b []byte, depth int) error {
	switch kind {
	case "application/gzip", "application/gzip-compressed", "application/gzipped", "application/x-compress",
		"application/x-compressed",
		"application/x-gunzip", "application/x-gzip", "application/x-gzip-compressed":
		plain, err := unpack(b, MaxInput)
		if err != nil {
			return err
		}
		return r.any(plain, depth+1)
	case "text/plain", "text/x-not-multipart", scriptType:
		if found := typeOf(b); found != "" {
			kind = found
		}
	}
	if kind == "text/plain" || kind == "text/x-not-multipart" {
		return fmt.Errorf("a part of type %s has no first line that says what it is, such as #cloud-config", kind)
	}
	return r.part(kind, name, b, depth)
}

// decoded undoes a transfer encoding (RFC 2045 section 6).
func decoded(encoding string, body io.Reader) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	default:
		return nil, fmt.Errorf("reading MIME: the Content-Transfer-Encoding %.40q is not known", encoding)
	}
	b, err := io.ReadAll(io.LimitReader(body, MaxInput+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("reading MIME: %w (is the file cut off?)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading MIME: %w", err)
	}
	return b, nil
}

func inUTF8(charset string, b []byte) ([]byte, error) {
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return b, nil
	case "iso-8859-1", "latin1", "latin-1":
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		return []byte(string(runes)), nil
	}
	return nil, fmt.Errorf("reading MIME: the charset %.40q is not known; write the part in UTF-8", charset)
}

// archive reads a list of parts in YAML: each is text, or a mapping with content, type and filename.
func (r *forms) archive(b []byte, depth int) error {
	if depth >= maxPacked {
		return fmt.Errorf("it is packed more than %d times", maxPacked)
	}
	v, err := r.yaml(withoutMark(b))
	if err != nil || v == nil {
		return err
	}
	list, ok := v.([]any)
	if !ok {
		return errors.New("#cloud-config-archive must be a list")
	}
	for i, e := range list {
		if err := r.archived(e, depth+1); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return nil
}

func (r *forms) archived(e any, depth int) error {
	m, ok := e.(map[string]any)
	if !ok {
		m = map[string]any{"content": e}
	}
	var content []byte
	switch c := m["content"].(type) {
	case string:
		content = []byte(c)
	case binary:
		content = c.Bytes()
	case nil:
		return errors.New("it has no content")
	default:
		return errors.New("its content is not text")
	}
	if r.left -= len(content); r.left < 0 {
		return fmt.Errorf("unpacked it has more than %d bytes", maxTotal)
	}
	if m["launch-index"] != nil || m["Launch-Index"] != nil {
		return errLaunchIndex()
	}
	name, _ := m["filename"].(string)
	kind, _ := m["type"].(string)
	if kind != "" {
		return r.typed(strings.ToLower(kind), name, content, depth)
	}
	if kind = typeOf(content); kind == "" {
		kind = cloudType // as cloud-init has it
		if _, binary := m["content"].(binary); binary {
			kind = "application/octet-stream"
		}
	}
	return r.part(kind, name, content, depth)
}
