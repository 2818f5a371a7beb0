// Package proxy says how the programs of a machine get to know its HTTP proxy.
//
// Variables are for logins, the texts for services and for apt; the caller puts them into the files that the machine
// has. The proxy's URL has no password (setting.Settings.Check), so everyone may read them.
//
// The package is pure.
//
// Sources: pam_env(8), systemd-system.conf(5), apt.conf(5), apt-transport-http(1).
package proxy

import (
	"fmt"
	"strings"

	"griddle/appliance/setting"
)

// Files of the texts, on every machine that has the program.
const (
	ManagerFile = "/etc/systemd/system.conf.d/50-griddle-proxy.conf"
	AptFile     = "/etc/apt/apt.conf.d/90griddle-proxy"
)

// Direct is what is reached without the proxy, with commas between: this machine, and its domain.
func Direct(s setting.Settings) string {
	hosts := "localhost,127.0.0.1,::1"
	if s.Domain != "" {
		hosts += ",." + s.Domain
	}
	return hosts
}

// Variables are assignments of the environment: programs look for them in both cases.
func Variables(s setting.Settings) []string {
	return []string{"http_proxy=" + s.Proxy, "https_proxy=" + s.Proxy, "HTTP_PROXY=" + s.Proxy,
		"HTTPS_PROXY=" + s.Proxy, "no_proxy=" + Direct(s), "NO_PROXY=" + Direct(s)}
}

// Manager is the text of ManagerFile, for all services of systemd.
func Manager(s setting.Settings) string {
	text := fmt.Sprintf("[Manager]\nDefaultEnvironment=\"http_proxy=%[1]s\" \"https_proxy=%[1]s\" \"no_proxy=%[2]s\"\n",
		s.Proxy, Direct(s))
	return strings.ReplaceAll(text, "%", "%%") // a percent sign is systemd's own
}

// Apt is the text of AptFile.
func Apt(s setting.Settings) string {
	return fmt.Sprintf("Acquire::http::Proxy \"%[1]s\";\nAcquire::https::Proxy \"%[1]s\";\n", s.Proxy)
}
