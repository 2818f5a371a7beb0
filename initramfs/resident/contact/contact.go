// Package contact is the server as an installed machine knows it: where it is, by which CA its certificate counts,
// and whose signatures count.
//
// Call Open with the service's folder, then Do for each call to the server. The machine proves itself by its key
// (package machinekey). Site is what counts now, and Catalog how long the site's catalog is known to be.
//
// The install leaves a Config, which never changes. The newest notice of the site (package notice) counts more:
// Accept keeps one that is newer than the one before. A notice is checked again each time it is read.
//
// The clock may be years off. Certificates are checked by it, but never by a time before the install or the newest
// notice. Where the clock is so far ahead that a certificate seems to have expired, the later of those two counts: a
// machine that comes from the future must still find its server.
package contact

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"griddle/appliance/site"
	"griddle/appliance/site/notice"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
	"griddle/initramfs/machinekey"
)

// Names in the folder.
const (
	ConfigFile = "agent.json"
	noticeFile = "notice"
	seenDir    = "seen"
)

// Config is what an install leaves.
type Config struct {
	Machine   string    `json:"machine"` // the server's name for the machine when it was installed; only shown
	Site      site.Site `json:"site"`    // as the boot image had it; Catalog.Key is the one that signs notices
	Installed time.Time `json:"installed"`
}

// Contact is the server. Several goroutines may use it, but not while one calls Accept.
type Contact struct {
	Config Config
	Notice notice.Notice // the newest; the zero value for none
	Folder *os.Root

	// Set these, if at all, before the first call.
	Now  func() time.Time                            // nil means time.Now
	Load func(dir *os.Root) (tls.Certificate, error) // nil means machinekey.Load

	dir string
	key minisign.PublicKey // of the site
}

// Open reads the folder. The error of a notice that is not valid is bad: it counts as none, and the server sends it
// again.
func Open(dir string) (c *Contact, bad, err error) {
	c = &Contact{dir: dir, Now: time.Now, Load: machinekey.Load}
	b, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if err == nil {
		err = json.Unmarshal(b, &c.Config)
	}
	if err == nil {
		c.key, err = minisign.ParsePublicKey(c.Config.Site.Catalog.Key)
	}
	if err == nil {
		c.Folder, err = os.OpenRoot(dir)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading what the install left in %s: %w", dir, err)
	}
	b, bad = os.ReadFile(filepath.Join(dir, noticeFile))
	if bad == nil {
		c.Notice, bad = notice.Open(b, c.key)
	}
	if errors.Is(bad, fs.ErrNotExist) {
		bad = nil
	}
	return c, bad, nil
}

// Close closes the folder.
func (c *Contact) Close() error { return c.Folder.Close() }

// Site is what counts now.
func (c *Contact) Site() site.Site {
	if c.Notice.Seq > 0 {
		return c.Notice.At
	}
	return c.Config.Site
}

// Catalog is how long the site's catalog is known to be: an older head of it is refused.
func (c *Contact) Catalog() (site.Catalog, error) {
	seen, err := head.OpenSeenDir(filepath.Join(c.dir, seenDir)).Of(c.key)
	if err != nil {
		return site.Catalog{}, err
	}
	return site.Catalog{Key: c.key.String(), Seq: max(seen.Seq, c.Site().Catalog.Seq)}, nil
}

// CheckNotice returns the error of a notice that does not count.
func (c *Contact) CheckNotice(b []byte) error {
	_, err := notice.Open(b, c.key)
	return err
}

// Accept keeps a notice that is newer than the one before, and says whether it is. It is durable when it counts. nil
// is nothing.
func (c *Contact) Accept(b []byte) (newer bool, err error) {
	if len(b) == 0 {
		return false, nil
	}
	n, err := notice.Open(b, c.key)
	if err == nil {
		err = n.Newer(c.Notice)
	}
	if err != nil || n.Seq == c.Notice.Seq {
		return false, err
	}
	if err := (durable.Disk{}).Replace(filepath.Join(c.dir, noticeFile), b, 0o644); err != nil {
		return false, fmt.Errorf("keeping the site's notice: %w", err)
	}
	c.Notice = n
	return true, nil
}

// AcceptHead keeps a head of the catalog that is newer than the one before. nil is nothing.
func (c *Contact) AcceptHead(ctx context.Context, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	t := &document.Trust{}
	t.Allow(document.SiteGrant(c.key))
	h, k, err := head.Open(b, t)
	if err != nil {
		return err
	}
	return head.OpenSeenDir(filepath.Join(c.dir, seenDir)).Accept(ctx, "", k, h, nil)
}
