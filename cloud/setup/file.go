package setup

import (
	"fmt"
	"strconv"
	"strings"
)

// socketAnswer is the key of LXD's socket among answers; it is not asked for.
const socketAnswer = ".socket"

// render is the stack file for answers. Each text is a quoted JSON string, which YAML reads as it is.
func render(a map[string]string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The servers of the stack %s. griddle cloud check finds mistakes in this file, griddle cloud plan shows",
		a["name"])
	line("# what would change, and griddle cloud up does it. Do not put secrets in this file.")
	line("version: 1")
	line("name: %s", quote(a["name"]))
	line("")
	line("# Where the servers run. Credentials come from the provider's own files and variables.")
	line("provider:")
	line("  kind: %s", quote(a["provider"]))
	option := func(name, value string) {
		if value != "" {
			line("  %s: %s", name, quote(value))
		}
	}
	if a["provider"] == "ec2" {
		option("profile", a["account"])
	} else {
		option("cloud", a["account"])
	}
	option("region", a["region"])
	option("socket", a[socketAnswer])
	line("")
	line("# The private network between the servers.")
	line("network:")
	line("  prefix: 10.77.0.0/24")
	if a["external"] != "" {
		line("  external: %s # leads out", quote(a["external"]))
	}
	line("")
	line("# Who logs in, with which keys: files with public keys, or the keys themselves.")
	line("admin: %s", quote(a["admin"]))
	line("keys:")
	line("  - %s", quote(a["key"]))
	line("")
	line("# ssh: {port: 22, from: [192.0.2.0/24]} # who may log in; without from, everyone")
	line("")
	line("# What every server has, unless its role or the server itself has another value.")
	line("defaults:")
	line("  image: %s", quote(a["image"]))
	line("  size: %s", quote(a["size"]))
	line("  # disk: 20GiB")
	line("  # volumes: [{size: 10GiB, mount: /srv}] # outlive the server")
	line("")
	line("# Roles: servers that are the same: server-1, server-2, …")
	line("roles:")
	line("  server:")
	line("    count: %s", a["count"])
	line("    # min: 1")
	line("    # max: 10")
	line("    # ports: [443, 8000-8100/udp] # in addition to ssh")
	line("    # userData: [{path: server.yaml}] # cloud-config or a script")
	return []byte(b.String())
}

// quote writes text so that YAML has it in one line, whatever is in it.
func quote(s string) string { return strconv.QuoteToASCII(s) }
