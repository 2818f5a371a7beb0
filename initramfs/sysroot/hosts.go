package sysroot

import "strings"

// SetHostLine replaces the line of 127.0.1.1 in /etc/hosts, where Debian keeps a host's own name (Debian reference
// section 5.1.1). A hostname with a domain gets its first label as a second name.
func SetHostLine(hosts []byte, hostname string) []byte {
	mine := "127.0.1.1\t" + hostname
	if short, _, full := strings.Cut(hostname, "."); full {
		mine += " " + short
	}
	return withHostLine(hosts, mine)
}

// CopyHostLine is SetHostLine with the line that another /etc/hosts has, and its aliases; with hostname if it has none.
func CopyHostLine(from, hosts []byte, hostname string) []byte {
	for line := range strings.Lines(string(from)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "127.0.1.1" {
			return withHostLine(hosts, f[0]+"\t"+strings.Join(f[1:], " "))
		}
	}
	return SetHostLine(hosts, hostname)
}

func withHostLine(hosts []byte, mine string) []byte {
	var out strings.Builder
	local, done := false, false
	for line := range strings.Lines(string(hosts)) {
		f := strings.Fields(line)
		switch {
		case len(f) > 0 && f[0] == "127.0.1.1":
			if !done {
				out.WriteString(mine + "\n")
			}
			done = true
			continue
		case len(f) > 0 && f[0] == "127.0.0.1":
			local = true
		}
		out.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	head := ""
	if !local {
		head = "127.0.0.1\tlocalhost\n"
	}
	if !done {
		head += mine + "\n"
	}
	return []byte(head + out.String())
}
