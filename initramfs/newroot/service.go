package newroot

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"griddle/initramfs/resident"
)

// service leaves the unit of the service on the new root and its configuration on /persistent, which is mounted there
// by now. A server of an older version does not ask for it, and a site without a signed catalog has nothing to sign
// notices with. A root that follows another one gets the unit if that had the service.
func (m *making) service() error {
	file := strings.TrimPrefix(resident.Dir, "/") + "/" + resident.ConfigFile
	if m.Carry != nil && m.HasFile(file) {
		return resident.Install(m.Dir)
	}
	if !m.Spec.Service || m.Spec.Home.URL == "" || m.Agent == "" || m.Site.Catalog.Key == "" {
		return nil
	}
	conf := resident.Config{Machine: m.Spec.Hostname, Site: m.Site, Installed: time.Now().UTC().Truncate(time.Second)}
	b, err := json.MarshalIndent(conf, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the service's configuration: %w", err)
	}
	if err := m.Write(file, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return resident.Install(m.Dir)
}

// enable writes a unit of systemd, and has it started with the system.
func (m *making) enable(name, text string) error {
	const dir = "etc/systemd/system/"
	if err := m.Write(dir+name, []byte(text), 0o644); err != nil {
		return err
	}
	if err := m.ReplaceLink("../"+name, dir+"multi-user.target.wants/"+name); err != nil {
		return fmt.Errorf("enabling %s: %w", name, err)
	}
	return nil
}
