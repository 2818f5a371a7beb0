package userdata

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// Seed is what one server's data source tells cloud-init.
type Seed struct {
	InstanceID string // one that was not seen before makes cloud-init set the server up anew
	Hostname   string
	UserData   []byte   // what Render returned; may be empty
	Network    *Network // nil: the image's own, which is DHCP by Debian's default
}

// SeedFile is one file of a seed.
type SeedFile struct {
	Name    string // such as meta-data, openstack/latest/user_data
	Content []byte
}

// NoCloud returns the files of the NoCloud data source. vendor-data is empty, because cloud-init asks again and again
// over HTTP for one that is missing.
func NoCloud(s Seed) ([]SeedFile, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	files := []SeedFile{
		{"meta-data", encode(map[string]any{"instance-id": s.InstanceID, "local-hostname": s.Hostname})},
	}
	if s.Network != nil {
		v2, err := s.Network.v2()
		if err != nil {
			return nil, err
		}
		files = append(files, SeedFile{"network-config", encode(v2)})
	}
	return append(files, SeedFile{"user-data", s.UserData}, SeedFile{"vendor-data", nil}), nil
}

// ConfigDrive returns the files of OpenStack's config drive.
func ConfigDrive(s Seed) ([]SeedFile, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	meta, err := json.Marshal(map[string]any{"uuid": s.InstanceID, "hostname": s.Hostname, "name": s.Hostname})
	if err != nil {
		return nil, fmt.Errorf("writing meta_data.json: %w", err)
	}
	files := []SeedFile{{"openstack/latest/meta_data.json", append(meta, '\n')}}
	if s.Network != nil {
		data, err := s.Network.openstack()
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(data)
		if err != nil {
			return nil, fmt.Errorf("writing network_data.json: %w", err)
		}
		files = append(files, SeedFile{"openstack/latest/network_data.json", append(b, '\n')})
	}
	return append(files, SeedFile{"openstack/latest/user_data", s.UserData}), nil
}

func (s *Seed) check() error {
	var errs []error
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`).MatchString(s.InstanceID) {
		errs = append(errs, fmt.Errorf("the instance ID %q is not up to 128 letters, digits, dots and dashes", s.InstanceID))
	}
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`).MatchString(s.Hostname) {
		errs = append(errs, fmt.Errorf("the host name %q is no DNS label", s.Hostname))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("writing a seed: %w", err)
	}
	return nil
}
