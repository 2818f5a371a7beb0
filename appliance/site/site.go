// Package site is the contract of the boot image between the server, which writes the site's part of it, and
// the agent, which reads it: where the server is, its CA, which keys may sign what, how long the signed
// catalog is, and the keymap.
//
// The server calls Archive for each boot; the agent calls Parse with the file at Path. Both live in an archive of their
// own, which the kernel unpacks after the initramfs (Documentation/driver-api/early-userspace/buffer-format.rst), in
// the "newc" form of cpio:
//
//	+-------------------------+---------------------------------+---------+---------+
//	| /etc/griddle/site.json: | /etc/griddle/keymap.bmap:       | trailer | zeros,  |
//	| Site, as JSON           | see ParseKeymap; may be missing |         | to 512n |
//	+-------------------------+---------------------------------+---------+---------+
//
// Equal arguments give equal bytes. The part travels over an untrusted wire, so it holds no secret.
package site

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// Path is the file in the archive that holds a Site.
const Path = "etc/griddle/site.json"

// Site is what an agent must know about its site before it can ask. It holds no secret.
type Site struct {
	HTTP    string   `json:"http"`    // base URL of boot files and blobs, "http://10.0.0.1:8080"
	HTTPS   string   `json:"https"`   // base URL of the agent's API
	CA      string   `json:"ca"`      // PEM: what the API's certificate must be signed by, and nothing else
	Trusted []string `json:"trusted"` // minisign public key lines that may sign any images and streams
	// lines of keys that may sign some, "RWS… web* team/*", or streams, "RWS… @site"
	Limited []string `json:"limited,omitempty"`
	// the site's catalog when this part was made; zero where it is not signed
	Catalog Catalog `json:"catalog,omitzero"`
	// name of the file at KeymapPath; "us" and "" are the kernel's own, without a file
	Keymap string `json:"keymap,omitempty"`
}

// Catalog says how long a site's signed catalog was.
type Catalog struct {
	Key string `json:"key"` // minisign public key line of the site, which signs the catalog's head
	Seq int64  `json:"seq"` // number of its last entry: an older head is refused
}

// maxSite bounds a site part, in bytes; real ones have about 1 KiB.
const maxSite = 1 << 20

// Validate returns all mistakes together.
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
		errs = append(errs, errors.New("ca: it has no certificate in PEM format"))
	}
	for _, l := range []struct {
		key   string
		lines []string
	}{{"trusted", s.Trusted}, {"limited", s.Limited}} {
		for i, k := range l.lines {
			if strings.TrimSpace(k) == "" || strings.ContainsAny(k, "\r\n") {
				errs = append(errs, fmt.Errorf("%s[%d]: it is not a public key on one line", l.key, i))
			}
		}
	}
	if strings.ContainsAny(s.Catalog.Key, "\r\n") || s.Catalog.Seq < 0 || s.Catalog.Key == "" && s.Catalog.Seq > 0 {
		errs = append(errs, errors.New("catalog: it is not a public key and the number of an entry"))
	}
	if strings.ContainsAny(s.Keymap, "/. \n") {
		errs = append(errs, fmt.Errorf("keymap: %q is not a plain name", s.Keymap))
	}
	return errors.Join(errs...)
}

// Parse reads what Archive put into Path. Unknown keys are ignored: an image may be older than its server.
func Parse(b []byte) (Site, error) {
	var s Site
	if len(b) > maxSite {
		return s, fmt.Errorf("reading the site part: it has %d bytes, the limit is %d", len(b), maxSite)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return Site{}, fmt.Errorf("reading the site part: %w", err)
	}
	if err := s.Validate(); err != nil {
		return Site{}, fmt.Errorf("reading the site part: %w", err)
	}
	return s, nil
}

// Archive makes the site's part of the boot image: a plain newc archive to be loaded after the initramfs, with the
// keymap (see ParseKeymap) unless it is nil. Equal arguments give equal bytes; the length is a multiple of 512.
func Archive(s Site, keymap []byte) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("making the site part: %w", err)
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("making the site part: %w", err)
	}
	records := []cpio.Record{cpio.StaticFile(Path, string(b)+"\n", 0o644)}
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
