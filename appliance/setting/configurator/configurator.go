// Package configurator writes the files by which a machine configures itself with Puppet or Ansible, without a server
// of either.
//
// Call Files, leave what it returns on the machine, and enable Units. Then the machine runs the program at each boot,
// and again after each Configure.Every:
//
//	/usr/local/lib/griddle/configure                  the script: fetch the repository, run the program
//	/etc/systemd/system/griddle-configure.service     runs it at boot
//	/etc/systemd/system/griddle-configure.timer       runs it again
//	/etc/griddle/configure/data.json                  the data, mode 0600
//	/etc/griddle/configure/hiera.yaml                 tells Puppet of the data
//
// A repository is in /var/lib/griddle/configure on the machine. The machine must have systemd and the program, and git
// for a repository. Settings after Resolve are what the package takes: it quotes, and checks nothing again.
//
// The package is pure, and the same settings give the same files.
//
// Sources: Puppet 7, man puppet-apply(8), Hiera 5; ansible-core 2.14, ansible-pull; systemd.timer(5).
package configurator

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/setting"
)

const (
	script  = "/usr/local/lib/griddle/configure"
	service = "griddle-configure.service"
	timer   = "griddle-configure.timer"
	units   = "/etc/systemd/system/"
	data    = "/etc/griddle/configure/data.json"
	hiera   = "/etc/griddle/configure/hiera.yaml"
	copied  = "/var/lib/griddle/configure" // of the repository
)

// Units are the units that must be enabled, and started where the machine runs already.
func Units(c setting.Configure) []string {
	if c.Every == 0 {
		return []string{service}
	}
	return []string{service, timer}
}

// Files are the files for the machine. The data may be secret, and so is its file.
func Files(c setting.Configure) ([]setting.File, error) {
	files := []setting.File{
		{Path: script, Content: program(c), Mode: 0o755},
		{Path: units + service, Content: fmt.Sprintf(`[Unit]
Description=Configure this machine with %s
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStartPre=-/bin/sh -c "! command -v cloud-init || cloud-init status --wait"
ExecStart=%s

[Install]
WantedBy=multi-user.target
`, c.Tool, script)},
	}
	if c.Every != 0 {
		files = append(files, setting.File{Path: units + timer, Content: fmt.Sprintf(`[Unit]
Description=Configure this machine with %s again

[Timer]
OnUnitInactiveSec=%ds
RandomizedDelaySec=30s

[Install]
WantedBy=timers.target
`, c.Tool, int64(time.Duration(c.Every)/time.Second))})
	}
	if len(c.Data) == 0 {
		return files, nil
	}
	b, err := json.MarshalIndent(c.Data, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the data of %s: %w", c.Tool, err)
	}
	files = append(files, setting.File{Path: data, Content: string(b) + "\n", Secret: true})
	if c.Tool == setting.Puppet {
		files = append(files, setting.File{Path: hiera, Content: `version: 5
defaults:
  datadir: /etc/griddle/configure
  data_hash: json_data
hierarchy:
  - name: settings
    path: data.json
`})
	}
	return files, nil
}

// program is the script that fetches and runs.
func program(c setting.Configure) string {
	dir := c.Path
	if c.Git != "" {
		dir = copied
	}
	head := "#!/bin/sh\n# Configures this machine with " + string(c.Tool) + ".\n" +
		"set -eu\nexport HOME=/root LC_ALL=C.UTF-8\n" +
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/puppetlabs/bin\n"
	if c.Tool == setting.Ansible {
		return head + ansible(c, dir)
	}
	return head + puppet(c, dir)
}

func puppet(c setting.Configure, dir string) string {
	var b strings.Builder
	if c.Git != "" {
		branch := "HEAD"
		if c.Branch != "" {
			branch = c.Branch
		}
		depth := "--depth 1 "
		if c.Git[0] == '/' {
			depth = "" // a bundle is there as a whole
		}
		fmt.Fprintf(&b, `[ -d %[1]s/.git ] || { rm -rf %[1]s && git init -q %[1]s; }
git -C %[1]s fetch -q %[4]s%[2]s %[3]s
git -C %[1]s reset -q --hard FETCH_HEAD
`, quote(dir), quote(c.Git), quote(branch), depth)
	}
	entry := c.Entry
	if entry == "" {
		entry = "site.pp"
	}
	with := ""
	if len(c.Data) > 0 {
		with = " --hiera_config " + hiera
	}
	// 2 means that there were changes, and all went well.
	fmt.Fprintf(&b, "puppet apply --detailed-exitcodes --modulepath %s%s %s || [ $? = 2 ]\n", quote(dir+"/modules"),
		with, quote(dir+"/"+entry))
	return b.String()
}

func ansible(c setting.Configure, dir string) string {
	entry := c.Entry
	if entry == "" {
		entry = "local.yml"
	}
	with := " -i localhost, -c local"
	if len(c.Data) > 0 {
		with += " -e @" + data
	}
	if c.Git == "" {
		return "exec ansible-playbook" + with + " " + quote(dir+"/"+entry) + "\n"
	}
	if c.Branch != "" {
		with += " -C " + quote(c.Branch)
	}
	return "exec ansible-pull -U " + quote(c.Git) + " -d " + quote(dir) + with + " " + quote(entry) + "\n"
}

// quote is s as one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
