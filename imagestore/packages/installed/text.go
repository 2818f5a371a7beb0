package installed

import (
	"bytes"
	"strings"

	"griddle/imagestore/packages"
)

// readDpkg reads the status file, and the files of images that have no dpkg of their own, one a package.
func readDpkg(t *tree) ([]packages.Package, error) {
	b, _, err := t.read("var/lib/dpkg/status", maxText)
	if err != nil {
		return nil, err
	}
	out := parseDpkg(b, false)
	names, err := t.names("var/lib/dpkg/status.d")
	for _, n := range names {
		if err != nil || strings.HasSuffix(n, ".md5sums") || len(out) > packages.MaxPackages {
			break
		}
		if b, _, err = t.read("var/lib/dpkg/status.d/"+n, maxFile); err == nil {
			out = append(out, parseDpkg(b, true)...)
		}
	}
	return out, err
}

// parseDpkg reads stanzas. A stanza without a Status counts where all is true. Of the others those count whose files
// are there, whatever came of their configuration: state "installed", "unpacked", "half-configured", "triggers-…".
func parseDpkg(b []byte, all bool) []packages.Package {
	var out []packages.Package
	stanzas(b, func(fields map[string]string) {
		status := strings.Fields(fields["status"])
		is := all && len(status) == 0
		if len(status) == 3 {
			switch status[2] {
			case "installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending":
				is = true
			}
		}
		if is && fields["package"] != "" && len(out) <= packages.MaxPackages {
			out = append(out,
				packages.Package{Name: fields["package"], Version: fields["version"], Arch: or(fields["architecture"])})
		}
	}, func(line string) (string, string, bool) {
		key, value, ok := strings.Cut(line, ":")
		return strings.ToLower(key), value, ok && key != "" && key[0] != ' ' && key[0] != '\t'
	})
	return out
}

func or(arch string) string {
	if arch == "" {
		return "-"
	}
	return arch
}

// stanzas calls f for each block of lines between empty ones, with its fields; cut finds key and value of a line. The
// first of a key counts.
func stanzas(b []byte, f func(map[string]string), cut func(line string) (key, value string, ok bool)) {
	fields := map[string]string{}
	end := func() {
		if len(fields) > 0 {
			f(fields)
		}
		clear(fields)
	}
	for line := range bytes.Lines(b) {
		if len(bytes.TrimSpace(line)) == 0 {
			end()
			continue
		}
		key, value, ok := cut(string(bytes.TrimRight(line, "\r\n")))
		if _, there := fields[key]; ok && !there && len(fields) < 100 {
			fields[key] = strings.TrimSpace(value)
		}
	}
	end()
}

// readAPK reads the one database, of lines "P:name".
func readAPK(t *tree) ([]packages.Package, error) {
	var out []packages.Package
	for _, path := range []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} {
		b, found, err := t.read(path, maxText)
		if err != nil {
			return nil, err
		}
		if found {
			return parseAPK(b), nil
		}
	}
	return out, nil
}

func parseAPK(b []byte) []packages.Package {
	var out []packages.Package
	stanzas(b, func(fields map[string]string) {
		if fields["P"] != "" && len(out) <= packages.MaxPackages {
			out = append(out, packages.Package{Name: fields["P"], Version: fields["V"], Arch: or(fields["A"])})
		}
	}, func(line string) (string, string, bool) {
		key, value, ok := strings.Cut(line, ":")
		return key, value, ok && (key == "P" || key == "V" || key == "A")
	})
	return out
}

// readPacman reads one file for each package.
func readPacman(t *tree) ([]packages.Package, error) {
	names, err := t.names("var/lib/pacman/local")
	if err != nil {
		return nil, err
	}
	var out []packages.Package
	for _, n := range names {
		b, found, err := t.read("var/lib/pacman/local/"+n+"/desc", maxFile)
		if err != nil {
			return nil, err
		}
		if p := parsePacman(b); found && p.Name != "" {
			out = append(out, p)
		}
	}
	return out, nil
}

// parsePacman reads sections: "%NAME%", then values, one a line, then an empty line.
func parsePacman(b []byte) packages.Package {
	var section string
	fields := map[string]string{}
	for line := range bytes.Lines(b) {
		s := strings.TrimRight(string(line), "\r\n")
		switch {
		case len(s) > 2 && s[0] == '%' && s[len(s)-1] == '%':
			section = s
		case section != "" && s != "":
			if section == "%NAME%" || section == "%VERSION%" || section == "%ARCH%" {
				fields[section] = s
			}
			section = ""
		}
	}
	return packages.Package{Name: fields["%NAME%"], Version: fields["%VERSION%"], Arch: or(fields["%ARCH%"])}
}
