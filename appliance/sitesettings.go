package appliance

import (
	"fmt"
	"os"

	"griddle/appliance/config"
	"griddle/appliance/setting"
	"griddle/appliance/setting/settingfile"
)

// SiteSettings reads the settings of all machines that the configuration names; none is an empty document. They have to
// be complete by themselves. The error lists every mistake, as "FILE:LINE:COLUMN: PLACE: what is wrong".
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
	if _, s, err = settingfile.Resolve(setting.AnyMachine, f); err != nil {
		return d, s, err
	}
	d = f.Document
	d.From = "site"
	return d, s, nil
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
