// Package bootreport reads what a server says about its first boot: its own report, its console, and cloud-init's
// files.
//
// Call Parse with the content of Path, ParseConsole with the end of the console, and CloudInitErrors with that of
// CloudInitResult or CloudInitStatus. The user-data of cloud/userdata/secure writes the report and the console's lines.
// Input from a server is hostile: reasons are bounded and have no control characters.
//
// Sources: cloud-init's cloudinit/cmd/status.py and config/cloud.cfg.tmpl; ECMA-48 section 5.4.
package bootreport

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Where a server says how its first boot went. The report and the marker are those of cloud/userdata/secure, whose
// user-data writes them; the others are cloud-init's (cloudinit/cmd/status.py, config/cloud.cfg.tmpl).
const (
	// Path is a file on the server: "done" or "failed" in its first line, then one reason a line.
	Path = "/var/lib/griddle/first-boot"
	// Marker begins a line on the server's console, followed by done or failed, a colon and the host name. The
	// reasons follow, each on a line that starts with "griddle: ".
	Marker = "griddle: first boot "

	// writes the report; a server that does not have it writes none
	Script          = "/usr/local/lib/griddle/first-boot"
	Log             = "/var/log/cloud-init-output.log" // what scripts and commands of the first boot printed
	CloudInitResult = "/run/cloud-init/result.json"    // is there once cloud-init has ended
	CloudInitStatus = "/run/cloud-init/status.json"    // is there while cloud-init runs, and stays
)

// Bounds.
const (
	ShownLines = 15  // of a log or a console, the last ones
	maxReason  = 300 // bytes
)

// Parse reads a server's report. ok is false if it is not one.
func Parse(b []byte) (failed bool, reasons []string, ok bool) {
	first, rest, _ := strings.Cut(Printable(b), "\n")
	switch strings.TrimSpace(first) {
	case "done":
		return false, nil, true
	case "failed":
		return true, reasonsOf(strings.Split(rest, "\n")), true
	}
	return false, nil, false
}

// ParseConsole finds what a server last wrote about its first boot on its console. ok is false if it wrote nothing so
// far.
func ParseConsole(b []byte) (failed bool, reasons []string, ok bool) {
	lines := ConsoleLines(b)
	at := -1
	for i, l := range lines {
		if strings.Contains(l, Marker) {
			at = i
		}
	}
	if at < 0 {
		return false, nil, false
	}
	_, said, _ := strings.Cut(lines[at], Marker)
	if !strings.HasPrefix(said, "failed") {
		return false, nil, strings.HasPrefix(said, "done")
	}
	for _, l := range lines[at+1:] {
		if _, reason, is := strings.Cut(l, "griddle: "); is {
			reasons = append(reasons, reason)
		}
	}
	return true, reasonsOf(reasons), true
}

// ConsoleLines returns the lines of a console as people can read them: terminals' control sequences (ECMA-48 section
// 5.4) are left out.
func ConsoleLines(b []byte) []string {
	var out strings.Builder
	const (
		text = iota
		escape
		sequence
	)
	state := text
	for _, c := range string(b) {
		switch {
		case state == escape && c == '[':
			state = sequence
		case state == escape, state == sequence && c >= '@' && c <= '~':
			state = text
		case c == 0x1b:
			state = escape
		case state == text && c == '\n':
			out.WriteByte('\n')
		case state == text && c >= ' ' && c != 0x7f && c != utf8.RuneError:
			out.WriteRune(c)
		}
	}
	return strings.Split(out.String(), "\n")
}

// reasonsOf drops empty lines, shortens long ones, and says at least something.
func reasonsOf(lines []string) []string {
	var out []string
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" && !slices.Contains(out, Shortened(l)) {
			out = append(out, Shortened(l))
		}
	}
	if len(out) == 0 {
		out = []string{"the server gives no reason"}
	}
	return out
}

// Shortened cuts a reason to at most 300 bytes.
func Shortened(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}

// CloudInitErrors returns the errors in cloud-init's result.json or status.json: those of "v1" itself, and those of
// each stage in it. What is not such a file has none.
func CloudInitErrors(b []byte) []string {
	var file struct {
		V1 map[string]json.RawMessage `json:"v1"`
	}
	if json.Unmarshal(b, &file) != nil {
		return nil
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(file.V1)) {
		var errors []string
		if key == "errors" {
			if json.Unmarshal(file.V1[key], &errors) != nil {
				continue
			}
		} else {
			var stage struct {
				Errors []string `json:"errors"`
			}
			if json.Unmarshal(file.V1[key], &stage) != nil {
				continue
			}
			errors = stage.Errors
		}
		for _, e := range errors {
			if e = strings.Join(strings.Fields(Printable([]byte(e))), " "); e != "" &&
				!slices.Contains(out, Shortened(e)) {
				out = append(out, Shortened(e))
			}
		}
	}
	return out
}

// LastLines returns the last lines of a text that are not empty.
func LastLines(lines []string, n int) []string {
	kept := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.TrimSpace(l) == "" })
	return kept[max(0, len(kept)-n):]
}

// Printable is text from a server as it can be logged.
func Printable(b []byte) string {
	return strings.Map(func(c rune) rune {
		if c == utf8.RuneError || c < ' ' && c != '\n' {
			return -1
		}
		return c
	}, string(b[:min(len(b), 8<<10)]))
}
