package newroot

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/bless/unit"
)

// HomeFile is what the installed system needs to report once that it is up: a PhoneHome as JSON, mode 0600. AgentFile
// is the program that reports, and Command the link by which people run it: sudo of some distributions looks into no
// folder of /usr/local.
const (
	HomeFile  = "/etc/griddle/phone-home.json"
	AgentFile = "/usr/lib/griddle/griddle-agent"
	Command   = "/usr/sbin/griddle-agent"
)

// PhoneHome is the content of HomeFile.
type PhoneHome struct {
	job.Home
	CA   string `json:"ca"`   // PEM of the certificates that URL is trusted by
	Root string `json:"root"` // the subvolume of the system: "@roots/web-20261120.1@amd64"
}

// HomeUnit starts the report when the network is up; the program itself tries again until it succeeds, and removes
// HomeFile, which ends the unit for good.
const HomeUnit = `[Unit]
Description=Report to the Griddle server that this system is up
ConditionPathExists=` + HomeFile + `
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=` + AgentFile + ` phone-home
Restart=on-failure
RestartSec=15

[Install]
WantedBy=multi-user.target
`

// agent copies the agent into the root, with the units by which it is blessed: for the report, or because the root that
// this one follows had it.
func (m *making) agent() error {
	if m.Agent == "" || m.Spec.Home.URL == "" && m.Carry == nil {
		return nil
	}
	f, err := os.Open(m.Agent)
	if err != nil {
		return fmt.Errorf("copying the agent: %w", err)
	}
	defer f.Close()
	if err := m.Copy(strings.TrimPrefix(AgentFile, "/"), f, 0o755); err != nil {
		return err
	}
	if err := m.ReplaceLink(AgentFile, strings.TrimPrefix(Command, "/")); err != nil {
		return err
	}
	return unit.Install(m.Dir)
}

// phoneHome leaves on the root what the agent reports with.
func (m *making) phoneHome() error {
	if m.Spec.Home.URL == "" || m.Agent == "" {
		return nil
	}
	b, err := json.MarshalIndent(PhoneHome{Home: m.Spec.Home, CA: string(m.CA), Root: Folder + "/" + m.Name}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", HomeFile, err)
	}
	if err := m.Write(strings.TrimPrefix(HomeFile, "/"), append(b, '\n'), 0o600); err != nil {
		return err
	}
	return m.enable("griddle-phone-home.service", HomeUnit)
}
