package secure

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the scripts
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"griddle/appliance/firewall"
	"griddle/appliance/sshd"
	"griddle/cloud/userdata"
)

//go:embed scripts/first-boot.sh
var firstBoot []byte

//go:embed scripts/data-disk.sh
var dataDisk []byte

const library = "/usr/local/lib/griddle/"

// Parts returns the user-data of a secure server. The error lists every mistake in s.
func (s *Server) Parts() ([]userdata.Part, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	const from = "the secure state"
	parts := []userdata.Part{{From: from, Config: s.config()}}
	for _, f := range s.files() {
		parts = append(parts, userdata.Part{From: from, File: &f})
	}
	return parts, nil
}

// Label is the label of a volume's filesystem: ext4 has 16 bytes for it.
func Label(volume string) string {
	if len(volume) > 8 {
		volume = fmt.Sprintf("%x", sha256.Sum256([]byte(volume)))[:8]
	}
	return "griddle-" + volume
}

func (s *Server) config() map[string]any {
	var users []any
	for _, u := range s.Users {
		e := map[string]any{"name": u.Name, "lock_passwd": true, "shell": "/bin/bash",
			"ssh_authorized_keys": trimmed(u.Keys)}
		if u.Sudo {
			e["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
		}
		if len(u.Groups) > 0 {
			e["groups"] = anys(distinct(u.Groups))
		}
		users = append(users, e)
	}
	config := map[string]any{
		"hostname": s.Hostname, "preserve_hostname": false, "manage_etc_hosts": "localhost",
		"users": users, "disable_root": true, "ssh_pwauth": false, "ssh_deletekeys": !s.KeepHostKeys,
		"ssh_genkeytypes": []any{"ed25519", "ecdsa"},
		"growpart":        map[string]any{"mode": "auto", "devices": []any{"/"}}, "resize_rootfs": true,
		"locale": cmp.Or(s.Locale, "false"), // which leaves the image's own as it is
		// Before everything else that cloud-init configures; services start later still.
		"bootcmd": []any{[]any{"cloud-init-per", "instance", "griddle-firewall", "sh", "-c", s.closeScript()}},
		"runcmd":  []any{[]any{library + "first-boot"}},
	}
	if s.Zone != "" {
		config["timezone"] = s.Zone
	}
	if strings.TrimSpace(s.CA) != "" {
		config["ca_certs"] = map[string]any{"trusted": []any{strings.TrimSpace(s.CA) + "\n"}}
	}
	if s.HostKey != "" {
		// check has parsed it.
		key, _ := ssh.ParsePrivateKey([]byte(s.HostKey))
		config["ssh_keys"] = map[string]any{
			"ed25519_private": strings.TrimSpace(s.HostKey) + "\n",
			"ed25519_public":  strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))),
		}
	}
	return config
}

// ruleset is the firewall: ssh first, then the declared ports.
func (s *Server) ruleset() string {
	ports := append([]Port{{Protocol: "tcp", From: s.sshPort(), To: s.sshPort(), Source: s.SSH.From}}, s.Ports...)
	return firewall.Rules{Ports: ports, Inside: s.Inside, Forward: s.Forward}.Text()
}

func (s *Server) sshPort() uint16 {
	if s.SSH.Port == 0 {
		return 22
	}
	return s.SSH.Port
}

// closeScript writes and loads the firewall. It begins a first boot, so it takes away what an earlier one reported.
func (s *Server) closeScript() string {
	return `mkdir -p /var/lib/griddle; cd /var/lib/griddle; rm -f failed first-boot
cat >/etc/nftables.conf <<'END'
` + s.ruleset() + `END
chmod 755 /etc/nftables.conf
command -v nft >/dev/null || { echo 'firewall: this image has no nftables' >failed; exit 1; }
nft -f /etc/nftables.conf 2>/run/griddle-nft || { echo "firewall: $(head -n 3 /run/griddle-nft | tr '\n' ' ')" >failed; exit 1; }
systemctl --quiet enable nftables.service || { echo 'firewall: it cannot be loaded at each boot' >failed; exit 1; }
`
}

// sshdConfig lets in the users and the guests.
func (s *Server) sshdConfig() string {
	var names []string
	for _, u := range s.Users {
		names = append(names, u.Name)
	}
	return sshd.Secure(s.sshPort(), append(names, s.Guests...))
}

func (s *Server) files() []userdata.File {
	files := []userdata.File{
		{Path: sshd.File, Content: []byte(s.sshdConfig())},
		{Path: library + "first-boot", Content: firstBoot, Mode: 0o755},
		{Path: library + "first-boot.conf", Content: []byte(s.settings())},
		{Path: "/etc/systemd/system/nftables.service.d/griddle.conf", Content: []byte(firewall.NoStop)},
		{Path: "/etc/systemd/system/griddle-first-boot.service", Content: []byte(`[Unit]
Description=Report how the first boot went
After=cloud-final.service

[Service]
Type=oneshot
ExecStart=` + library + `first-boot report
`)},
	}
	if s.sshPort() != 22 {
		files = append(files, userdata.File{Path: "/etc/systemd/system/ssh.socket.d/griddle.conf",
			Content: []byte(sshd.Socket(s.sshPort()))})
	}
	if len(s.Volumes) > 0 {
		files = append(files, userdata.File{Path: library + "data-disk", Content: dataDisk, Mode: 0o755})
	}
	if s.Proxy != "" {
		files = append(files,
			userdata.File{Path: "/etc/apt/apt.conf.d/90griddle-proxy",
				Content: fmt.Appendf(nil, "Acquire::http::Proxy \"%s\";\nAcquire::https::Proxy \"%s\";\n", s.Proxy,
					s.Proxy)},
			userdata.File{Path: "/etc/systemd/system.conf.d/50-griddle-proxy.conf",
				// A percent sign is systemd's own.
				Content: []byte(strings.ReplaceAll(
					fmt.Sprintf("[Manager]\nDefaultEnvironment=\"http_proxy=%s\" \"https_proxy=%s\" \"no_proxy=%s\"\n",
						s.Proxy, s.Proxy, s.direct()), "%", "%%"))})
	}
	return files
}

// settings is what the first-boot script reads, as assignments of the shell.
func (s *Server) settings() string {
	var users, sudo, dns []string
	for _, u := range s.Users {
		users = append(users, u.Name)
		if u.Sudo {
			sudo = append(sudo, u.Name)
		}
	}
	users = append(users, s.Guests...)
	for _, d := range s.DNS {
		dns = append(dns, d.String())
	}
	volumes := slices.Clone(s.Volumes)
	slices.SortStableFunc(volumes, func(a, b Volume) int { return cmp.Compare(b.Size, a.Size) })
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "%s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`)) }
	set("users", strings.Join(users, " "))
	set("sudo", strings.Join(sudo, " "))
	set("port", fmt.Sprint(s.sshPort()))
	set("ntp", strings.Join(s.NTP, " "))
	set("dns", strings.Join(dns, " "))
	set("proxy", s.Proxy)
	set("no_proxy", s.direct())
	var lines []string
	for _, v := range volumes {
		lines = append(lines, fmt.Sprintf("%s %s %d", Label(v.Name), v.Mount, v.Size))
	}
	set("volumes", strings.Join(lines, "\n"))
	return b.String()
}

// direct is what is reached without the proxy: the server itself, the provider's metadata service, the inside.
func (s *Server) direct() string {
	hosts := []string{"localhost", "127.0.0.1", "::1", "169.254.169.254"}
	for _, p := range s.Inside {
		hosts = append(hosts, p.Masked().String())
	}
	return strings.Join(hosts, ",")
}

func trimmed(list []string) []any {
	var t []string
	for _, s := range list {
		t = append(t, strings.TrimSpace(s))
	}
	return anys(distinct(t))
}

func anys(list []string) []any {
	a := make([]any, len(list))
	for i, s := range list {
		a[i] = s
	}
	return a
}

// distinct keeps the first of each.
func distinct(list []string) []string {
	var d []string
	for _, s := range list {
		if !slices.Contains(d, s) {
			d = append(d, s)
		}
	}
	return d
}
