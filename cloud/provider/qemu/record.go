package qemu

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"griddle/cloud/provider"
)

// record is a resource.json.
type record struct {
	Labels map[string]string `json:"labels"` // provider.LabelStack and so on
	Serial string            `json:"serial"` // 8 hex digits: tells this one from an earlier one of its name

	Image   *imageRecord    `json:"image,omitempty"`
	Key     string          `json:"key,omitempty"`
	Network *networkRecord  `json:"network,omitempty"`
	Rules   []provider.Rule `json:"rules,omitempty"`
	Address netip.Addr      `json:"address,omitzero"`
	Size    int64           `json:"size,omitempty"` // of a volume
	Server  *serverRecord   `json:"server,omitempty"`
}

type imageRecord struct {
	Arch    string `json:"arch"`
	Size    int64  `json:"size"`
	Virtual int64  `json:"virtual"`
	BIOS    bool   `json:"bios"`
	UEFI    bool   `json:"uefi"`
}

type networkRecord struct {
	Prefix netip.Prefix `json:"prefix"`
	DNS    []netip.Addr `json:"dns,omitempty"`
	Bridge string       `json:"bridge,omitempty"`
	Group  string       `json:"group,omitempty"` // address:port of the multicast group, where there is no bridge
}

type serverRecord struct {
	Role     string     `json:"role,omitempty"`
	Image    string     `json:"image"`
	CPUs     int        `json:"cpus"`
	Memory   int64      `json:"memory"`
	Network  string     `json:"network"`
	Private  netip.Addr `json:"private"`
	Firewall string     `json:"firewall,omitempty"`
	Address  string     `json:"address,omitempty"`
	Volumes  []string   `json:"volumes,omitempty"`
	UEFI     bool       `json:"uefi,omitempty"`
	SSH      uint16     `json:"ssh"` // the server's port

	Power    power              `json:"power"`
	Deadline time.Time          `json:"deadline,omitzero"` // when the power is taken, for all but powerOn
	Started  bool               `json:"started,omitempty"` // since Power became powerOn
	Failed   string             `json:"failed,omitempty"`  // why it could never be started
	Public   netip.Addr         `json:"public,omitzero"`
	Forwards []provider.Forward `json:"forwards,omitempty"`
}

// power is what a server is to come to.
type power string

const (
	powerOn     power = "on"
	powerOff    power = "off"
	powerReboot power = "reboot" // off, then on
	powerGone   power = "gone"   // off, then removed
)

const (
	recordFile = "resource.json"
	mostRecord = 1 << 20 // bytes
)

// parseRecord reads a resource.json that may have been changed by anybody.
func parseRecord(b []byte) (*record, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	r := new(record)
	if err := d.Decode(r); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind it")
	}
	has := map[provider.Kind]bool{
		provider.KindImage: r.Image != nil, provider.KindNetwork: r.Network != nil && r.Network.Prefix.IsValid(), provider.KindServer: r.Server != nil && r.Server.Private.IsValid(),
		provider.KindKey: r.Key != "", provider.KindFirewall: true, provider.KindAddress: r.Address.IsValid(), provider.KindVolume: r.Size > 0,
	}
	if !has[r.kind()] {
		return nil, fmt.Errorf("it is no whole record of kind %q", r.kind())
	}
	return r, nil
}

func (r *record) kind() provider.Kind { return provider.Kind(r.Labels[provider.LabelKind]) }
func (r *record) stack() string       { return r.Labels[provider.LabelStack] }
func (r *record) name() string        { return r.Labels[provider.LabelName] }
func (r *record) digest() string {
	return strings.TrimPrefix(r.Labels[provider.LabelDigest], "sha256:")
}

// id is the resource's ID: an image's is its digest, for it is there once.
func (r *record) id() string {
	if r.kind() == provider.KindImage {
		return r.digest()
	}
	return r.stack() + "/" + r.name() + "/" + r.Serial
}

// place is a resource's directory, and what of its ID the directory does not say.
type place struct{ dir, serial string }

// find says where the resource with an ID is, if it is; false for what is no ID.
func (q *QEMU) find(kind provider.Kind, id string) (place, bool) {
	if !slices.Contains(provider.Kinds(), kind) {
		return place{}, false
	}
	parts := strings.Split(id, "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || strings.ContainsRune(p, 0) || len(p) > 255 {
			return place{}, false
		}
	}
	switch {
	case kind == provider.KindImage && len(parts) == 1:
		return place{dir: q.path("images", parts[0])}, true
	case kind != provider.KindImage && len(parts) == 3:
		return place{q.path("stacks", parts[0], string(kind), parts[1]), parts[2]}, true
	}
	return place{}, false
}

// home is the directory that a resource of this name has.
func (q *QEMU) home(kind provider.Kind, stack, name string) string {
	return q.path("stacks", stack, string(kind), name)
}

// read reads the record of a directory: nil where there is none, ErrTaken where the directory is not ours.
func (q *QEMU) read(dir string) (*record, error) {
	b, err := readBounded(filepath.Join(dir, recordFile), mostRecord)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s has no %s: %w", dir, recordFile, provider.ErrTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what QEMU's server is: %w", err)
	}
	r, err := parseRecord(b)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, recordFile), err)
	}
	want := q.home(r.kind(), r.stack(), r.name())
	if r.kind() == provider.KindImage {
		want = q.path("images", r.digest())
	}
	if want != dir {
		return nil, fmt.Errorf("%s has the labels of %s %q of stack %q: %w", dir, r.kind(), r.name(), r.stack(), provider.ErrTaken)
	}
	return r, nil
}

// byID reads the record with an ID: nil where it is gone.
func (q *QEMU) byID(kind provider.Kind, id string) (*record, error) {
	p, ok := q.find(kind, id)
	if !ok {
		return nil, nil
	}
	r, err := q.read(p.dir)
	if err != nil || r == nil || r.kind() != kind || r.id() != id {
		return nil, err
	}
	return r, nil
}

// write brings a record up to date.
func (q *QEMU) write(r *record) error {
	dir := q.home(r.kind(), r.stack(), r.name())
	if err := q.Disk.Replace(filepath.Join(dir, recordFile), r.bytes(), 0o600); err != nil {
		return fmt.Errorf("writing down %s %q: %w", r.kind(), r.name(), room(err))
	}
	return nil
}

func (r *record) bytes() []byte {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		panic(err) // all of it is plain values
	}
	return append(b, '\n')
}

// place makes a resource's directory appear, with what fill puts there beside the record.
func (q *QEMU) place(r *record, making string, fill func(dir string) error) error {
	home := q.home(r.kind(), r.stack(), r.name())
	if r.kind() == provider.KindImage {
		home = q.path("images", r.digest())
	}
	dir := q.path(making, serial())
	err := func() error {
		if err := q.Disk.MkdirAll(filepath.Dir(home), 0o700); err != nil {
			return err
		}
		if err := q.Disk.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := fill(dir); err != nil {
			return err
		}
		if err := q.Disk.Create(filepath.Join(dir, recordFile), r.bytes(), 0o600); err != nil {
			return err
		}
		if err := q.Disk.Rename(dir, home); err != nil {
			return err
		}
		return q.Disk.SyncDir(filepath.Dir(home))
	}()
	if err != nil {
		return errors.Join(fmt.Errorf("making %s %q: %w", r.kind(), r.name(), room(err)), os.RemoveAll(dir))
	}
	return nil
}

// drop makes a resource's directory disappear, and those above that are empty then.
func (q *QEMU) drop(dir string) error {
	gone := q.path("gone", serial())
	if err := q.Disk.Rename(dir, gone); err != nil {
		return err
	}
	if err := q.Disk.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	for up := filepath.Dir(dir); up != q.path("stacks") && up != q.path("images"); up = filepath.Dir(up) {
		if q.Disk.Remove(up) != nil {
			break
		}
	}
	return os.RemoveAll(gone)
}

func serial() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// readBounded reads a file that may have grown beyond reason.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, err
}
