package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/appliance/setting"
	"griddle/appliance/setting/settingfile"
)

// SiteSettings reads the settings of all machines that the configuration names; none is an empty document. What
// each machine may add can be missing. The error lists every mistake, as "FILE:LINE:COLUMN: PLACE: what is wrong".
func SiteSettings(c config.Config) (setting.Document, error) {
	d, _, err := siteSettings(c)
	return d, err
}

func siteSettings(c config.Config) (d setting.Document, s setting.Settings, err error) {
	if c.Settings == "" {
		return d, s, nil
	}
	b, err := os.ReadFile(c.Settings)
	if err != nil {
		return d, s, fmt.Errorf("reading the settings of the site: %w", err)
	}
	f, err := settingfile.Parse(c.Settings, b)
	if err != nil {
		return d, s, err
	}
	if _, s, err = settingfile.Resolve(setting.PartOfMachine, f); err != nil {
		return d, s, err
	}
	d = f.Document
	d.From = "site"
	return d, s, nil
}

// DiscardSettings deletes what single machines have of their own, and their recovery keys, for an operator who lost the
// key that it is sealed with. It returns how many machines had settings, and how many recovery keys there were. No
// server may use the state directory.
func DiscardSettings(ctx context.Context, stateDir string) (machines, keys int, err error) {
	if _, err := os.Stat(filepath.Join(stateDir, fleetFile)); err != nil {
		return 0, 0, fmt.Errorf("deleting the settings of machines: %w", err)
	}
	st, err := openState(stateDir)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	return fleet.DiscardSettings(ctx, st.path(fleetFile))
}

// siteSettings is SiteSettings, and warns where others can read secrets in the file.
func (s *server) siteSettings(c config.Config) (setting.Document, error) {
	d, all, err := siteSettings(c)
	if err != nil || len(all.Secrets()) == 0 {
		return d, err
	}
	if st, err := os.Stat(c.Settings); err == nil && st.Mode().Perm()&0o007 != 0 {
		s.log.Warn("other users of this host can read the secrets in the settings of the site", "file", c.Settings,
			"mode", fmt.Sprintf("%04o", st.Mode().Perm()), "fix", "chmod o= "+c.Settings)
	}
	return d, nil
}
