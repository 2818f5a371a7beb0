package secure

import (
	"path"
	"slices"
	"strings"
)

// Need is something that a system must have so that user-data of this package can make it secure.
type Need struct {
	Name     string            // as people know it, such as nftables
	Paths    []string          // below the root, without a leading slash: one of these must be there
	Packages map[string]string // which package has it, by the package manager: dpkg, rpm, pacman
}

// Needs are those of s. With tree the system is a container's, whose volumes are there already.
func (s *Server) Needs(tree bool) []Need {
	same := func(name string) map[string]string {
		return map[string]string{"dpkg": name, "rpm": name, "pacman": name}
	}
	needs := []Need{
		{"systemd", []string{"usr/lib/systemd/systemd", "lib/systemd/systemd"},
			map[string]string{"dpkg": "systemd-sysv", "rpm": "systemd", "pacman": "systemd"}},
		{"cloud-init", program("cloud-init"), same("cloud-init")},
		{"an ssh server", program("sshd"),
			map[string]string{"dpkg": "openssh-server", "rpm": "openssh-server", "pacman": "openssh"}},
		{"sudo", program("sudo"), same("sudo")},
		{"nftables", program("nft"), same("nftables")},
		{"dbus", append(program("dbus-daemon"), program("dbus-broker")...), same("dbus")},
	}
	if len(s.Volumes) > 0 && !tree {
		needs = append(needs, Need{"mkfs.ext4 for the volumes", program("mkfs.ext4"), same("e2fsprogs")})
	}
	if len(s.NTP) > 0 {
		needs = append(needs,
			Need{"a time service",
				append(program("chronyd"), "usr/lib/systemd/systemd-timesyncd", "lib/systemd/systemd-timesyncd"),
				map[string]string{"dpkg": "systemd-timesyncd", "rpm": "chrony", "pacman": "systemd"}})
	}
	if strings.TrimSpace(s.CA) != "" {
		needs = append(needs,
			Need{"ca-certificates", append(program("update-ca-certificates"), program("update-ca-trust")...),
				same("ca-certificates")})
	}
	return needs
}

// program is where a program can be, whether the system has /bin and /usr/bin be one directory or not.
func program(name string) []string {
	var out []string
	for _, dir := range []string{"usr/sbin", "usr/bin", "usr/local/sbin", "usr/local/bin", "sbin", "bin"} {
		out = append(out, path.Join(dir, name))
	}
	return out
}

// Missing are the needs of which has knows none of the paths.
func Missing(needs []Need, has func(path string) bool) []Need {
	return slices.DeleteFunc(slices.Clone(needs), func(n Need) bool { return slices.ContainsFunc(n.Paths, has) })
}

// Install is the command that installs in a template what is missing, by its package manager; empty for an unknown one.
func Install(missing []Need, manager string) string {
	command := map[string]string{"dpkg": "apt-get install --no-install-recommends", "rpm": "dnf install",
		"pacman": "pacman -S"}[manager]
	if command == "" {
		return ""
	}
	var names []string
	for _, n := range missing {
		if p := n.Packages[manager]; !slices.Contains(names, p) {
			names = append(names, p)
		}
	}
	return command + " " + strings.Join(names, " ")
}
