package qemu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
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
		provider.KindImage: r.Image != nil, provider.KindNetwork: r.Network != nil && r.Network.Prefix.IsValid(),
		provider.KindServer: r.Server != nil && r.Server.Private.IsValid(), provider.KindKey: r.Key != "",
		provider.KindFirewall: true, provider.KindAddress: r.Address.IsValid(), provider.KindVolume: r.Size > 0,
	}
	if !has[r.kind()] {
		return nil, fmt.Errorf("it is not a whole record of kind %q", r.kind())
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

func (r *record) bytes() []byte {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		panic(err) // all of it is plain values
	}
	return append(b, '\n')
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
