package initramfs

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// Site is what an agent must know about its site before it can ask. It travels with the boot image over an
// untrusted wire, so it holds no secret.
type Site struct {
	HTTP    string   `json:"http"`              // base URL of boot files and blobs, "http://10.0.0.1:8080"
	HTTPS   string   `json:"https"`             // base URL of the agent's API
	CA      string   `json:"ca"`                // PEM: what the API's certificate must be signed by, and nothing else
	Trusted []string `json:"trusted"`           // minisign public key lines that may sign any images and streams
	Limited []string `json:"limited,omitempty"` // lines of keys that may sign some, "RWS… web* team/*", or streams, "RWS… @site"
	Catalog Catalog  `json:"catalog,omitzero"`  // what the site's catalog was when this part was made; zero where it is not signed
	Keymap  string   `json:"keymap,omitempty"`  // name of the file at KeymapPath; "us" and "" are the kernel's own, without a file
}

// Catalog is how far a site's signed catalog had come.
type Catalog struct {
	Key string `json:"key"` // minisign public key line of the site, which signs the catalog's head
	Seq int64  `json:"seq"` // number of its last entry: an older head is refused
}

// maxSite bounds a site part, in bytes; real ones have about 1 KiB.
const maxSite = 1 << 20

// Validate reports every mistake at once.
func (s Site) Validate() error {
	var errs []error
	for _, u := range []struct{ key, value, scheme string }{{"http", s.HTTP, "http"}, {"https", s.HTTPS, "https"}} {
		p, err := url.Parse(u.value)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", u.key, err))
		case p.Scheme != u.scheme || p.Host == "":
			errs = append(errs, fmt.Errorf("%s: %q is not an %s://HOST:PORT address", u.key, u.value, u.scheme))
		}
	}
	if b, _ := pem.Decode([]byte(s.CA)); b == nil || b.Type != "CERTIFICATE" {
		errs = append(errs, errors.New("ca: no certificate in PEM form"))
	}
	for _, l := range []struct {
		key   string
		lines []string
	}{{"trusted", s.Trusted}, {"limited", s.Limited}} {
		for i, k := range l.lines {
			if strings.TrimSpace(k) == "" || strings.ContainsAny(k, "\r\n") {
				errs = append(errs, fmt.Errorf("%s[%d]: not one line of a public key", l.key, i))
			}
		}
	}
	if strings.ContainsAny(s.Catalog.Key, "\r\n") || s.Catalog.Seq < 0 || s.Catalog.Key == "" && s.Catalog.Seq > 0 {
		errs = append(errs, errors.New("catalog: not a public key and the number of an entry"))
	}
	if strings.ContainsAny(s.Keymap, "/. \n") {
		errs = append(errs, fmt.Errorf("keymap: %q is not a plain name", s.Keymap))
	}
	return errors.Join(errs...)
}

// ParseSite reads what SiteCPIO put into SitePath. Unknown keys are ignored: an image may be older than its server.
func ParseSite(b []byte) (Site, error) {
	var s Site
	if len(b) > maxSite {
		return s, fmt.Errorf("reading the site part: %d bytes, at most %d are allowed", len(b), maxSite)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return Site{}, fmt.Errorf("reading the site part: %w", err)
	}
	if err := s.Validate(); err != nil {
		return Site{}, fmt.Errorf("reading the site part: %w", err)
	}
	return s, nil
}

// SiteCPIO makes the site's part of the boot image: a plain newc archive to be loaded after the initramfs, with the
// keymap (see ParseKeymap) unless it is nil. Equal arguments give equal bytes; the length is a multiple of 512.
func SiteCPIO(s Site, keymap []byte) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("making the site part: %w", err)
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("making the site part: %w", err)
	}
	records := []cpio.Record{cpio.StaticFile(SitePath, string(b)+"\n", 0o644)}
	if keymap != nil {
		if _, err := ParseKeymap(keymap); err != nil {
			return nil, fmt.Errorf("making the site part: %w", err)
		}
		records = append(records, cpio.StaticFile(KeymapPath, string(keymap), 0o644))
	}
	var out bytes.Buffer
	if err := WriteCPIO(&out, records); err != nil {
		return nil, fmt.Errorf("making the site part: %w", err)
	}
	return out.Bytes(), nil
}

// WriteCPIO writes records as one newc archive whose bytes depend on names, modes and contents alone: sorted,
// with the directories that the names need, inode numbers counted from 1, owned by root, all times 0, padded with
// zeros to a multiple of 512.
func WriteCPIO(w io.Writer, records []cpio.Record) error {
	n := &counter{w: w}
	rw := cpio.Newc.Writer(n)
	for i, r := range withParents(records) {
		r = cpio.MakeReproducible(r)
		r.Ino, r.UID, r.GID, r.MTime = uint64(i+1), 0, 0, 0
		r.NLink = 1
		if err := rw.WriteRecord(r); err != nil {
			return fmt.Errorf("writing %s: %w", r.Name, err)
		}
	}
	if err := cpio.WriteTrailer(rw); err != nil {
		return fmt.Errorf("writing the trailer: %w", err)
	}
	if rest := n.n % 512; rest != 0 {
		if _, err := w.Write(make([]byte, 512-rest)); err != nil {
			return fmt.Errorf("writing the padding: %w", err)
		}
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
