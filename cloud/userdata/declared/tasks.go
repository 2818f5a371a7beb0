package declared

import (
	_ "embed" // the scripts
	"fmt"
	"net/netip"
	"strings"

	"griddle/appliance/setting"
	"griddle/appliance/setting/configurator"
	"griddle/appliance/setting/proxy"
)

//go:embed scripts/settings.sh
var settingsScript string

//go:embed scripts/routes.sh
var routesScript string

const (
	library = "/usr/local/lib/griddle/"
	program = library + "settings"
)

// tasks is what the script does, as assignments of the shell.
type tasks struct {
	users    string // a line for each: NAME:SHELL:GROUPS:FULL NAME
	owners   string // a line for each file: OWNER:GROUP MODE PATH, with tabs between
	sshd     bool
	proxy    string
	direct   string
	swap     setting.Size
	dns      []netip.Addr // with search: where the interfaces are the image's own
	search   []string
	networkd bool
	routes   string // a line for each: INTERFACE TO VIA METRIC
	units    []string
}

func tasksOf(s setting.Settings) tasks {
	t := tasks{sshd: sshdText(s.SSH) != "", proxy: s.Proxy, swap: s.Swap >> 20 << 20,
		networkd: len(networkd(s.Network)) > 0, routes: left(s.Network)}
	if s.Proxy != "" {
		t.direct = proxy.Direct(s)
	}
	if len(s.Network.Interfaces) == 0 {
		t.dns, t.search = s.Network.DNS, s.Network.Search
	}
	for _, u := range s.Users {
		if u.Shell == "" && len(u.Groups) == 0 && u.FullName == "" {
			continue // there is nothing to change of one that the image has
		}
		t.users += fmt.Sprintf("%s:%s:%s:%s\n", u.Name, u.Shell, strings.Join(u.Groups, ","), u.FullName)
	}
	for _, f := range s.Files {
		if numbered(f) {
			t.owners += fmt.Sprintf("%s\t%s\t%s\n", ownerOf(f), modeOf(f), f.Path)
		}
	}
	if t.routes != "" {
		t.units = append(t.units, "griddle-routes.service")
	}
	if s.Configure != nil {
		t.units = append(t.units, configurator.Units(*s.Configure)...)
	}
	return t
}

func modeOf(f setting.File) string { return fmt.Sprintf("%04o", f.Permissions()) }

// none reports whether there is nothing to do.
func (t tasks) none() bool {
	return t.users == "" && t.owners == "" && !t.sshd && t.proxy == "" && t.swap == 0 && len(t.dns) == 0 &&
		len(t.search) == 0 && !t.networkd && len(t.units) == 0
}

// files are the script, what it reads, and the routes.
func (t tasks) files() []setting.File {
	if t.none() {
		return nil
	}
	var b strings.Builder
	set := func(name, value string) {
		fmt.Fprintf(&b, "%s='%s'\n", name, strings.ReplaceAll(strings.TrimSuffix(value, "\n"), "'", `'\''`))
	}
	dns := make([]string, len(t.dns))
	for i, a := range t.dns {
		dns[i] = a.String()
	}
	yes := map[bool]string{true: "yes"}
	set("users", t.users)
	set("owners", t.owners)
	set("sshd", yes[t.sshd])
	set("proxy", t.proxy)
	set("no_proxy", t.direct)
	set("dns", strings.Join(dns, " "))
	set("search", strings.Join(t.search, " "))
	set("networkd", yes[t.networkd])
	set("units", strings.Join(t.units, " "))
	set("swap", fmt.Sprint(int64(t.swap)))
	files := []setting.File{{Path: program, Content: settingsScript, Mode: 0o755},
		{Path: program + ".conf", Content: b.String()}}
	if t.routes == "" {
		return files
	}
	return append(files, setting.File{Path: library + "routes", Content: routesScript, Mode: 0o755},
		setting.File{Path: library + "routes.conf", Content: t.routes},
		setting.File{Path: "/etc/systemd/system/griddle-routes.service", Content: `[Unit]
Description=Routes that the network configuration cannot have
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + library + `routes

[Install]
WantedBy=multi-user.target
`})
}
