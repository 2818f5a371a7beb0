package seed

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// Seed is what one server's data source tells cloud-init.
type Seed struct {
	InstanceID string   // a new one makes cloud-init set the server up again
	Hostname   string   // a DNS label
	Keys       []string // lines of authorized_keys for the image's default user
	UserData   []byte   // what userdata.Render returned; may be empty
	Network    *Network // nil: the image's own, which is DHCP by Debian's default
}

// File is one file of a seed.
type File struct {
	Name    string // such as meta-data
	Content []byte
}

// NoCloud returns the files of the NoCloud data source.
func NoCloud(s Seed) ([]File, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("writing a seed: %w", err)
	}
	meta := map[string]any{"instance-id": s.InstanceID, "local-hostname": s.Hostname}
	if len(s.Keys) > 0 {
		meta["public-keys"] = s.Keys
	}
	var files []File
	add := func(name string, v any) error {
		b, err := json.MarshalIndent(v, "", "  ")
		files = append(files, File{name, b})
		return err
	}
	if err := add("meta-data", meta); err != nil {
		return nil, fmt.Errorf("writing a seed: %w", err)
	}
	if s.Network != nil {
		if err := add("network-config", s.Network.config()); err != nil {
			return nil, fmt.Errorf("writing a seed: %w", err)
		}
	}
	return append(files, File{"user-data", s.UserData}), nil
}

func (s *Seed) check() error {
	var errs []error
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`).MatchString(s.InstanceID) {
		errs = append(errs,
			fmt.Errorf("the instance ID %q is not up to 128 letters, digits, dots and dashes", s.InstanceID))
	}
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`).MatchString(s.Hostname) {
		errs = append(errs, fmt.Errorf("the hostname %q is not a DNS label", s.Hostname))
	}
	if s.Network != nil {
		errs = append(errs, s.Network.check())
	}
	return errors.Join(errs...)
}
