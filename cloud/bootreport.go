package cloud

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Where a server says how its first boot went. The report and the marker are those of cloud/userdata/secure, whose user-data
// writes them; the others are cloud-init's (cloudinit/cmd/status.py, config/cloud.cfg.tmpl).
const (
	// BootReport is a file on the server: "done" or "failed" in its first line, then one reason a line.
	BootReport = "/var/lib/griddle/first-boot"
	// BootMarker begins a line on the server's console, followed by done or failed, a colon and the host name. The
	// reasons follow, each on a line that starts with "griddle: ".
	BootMarker = "griddle: first boot "

	bootScript = "/usr/local/lib/griddle/first-boot" // writes the report; a server that does not have it writes none
	bootLog    = "/var/log/cloud-init-output.log"    // what scripts and commands of the first boot printed
	bootResult = "/run/cloud-init/result.json"       // is there once cloud-init has ended
	bootStatus = "/run/cloud-init/status.json"       // is there while cloud-init runs, and stays
)

const (
	shownLines   = 15  // of a log or a console, the last ones
	shownReasons = 8   // of a failed first boot
	maxReason    = 300 // bytes
)

// BootError says that a server runs and its first boot failed. It wraps ErrFirstBoot.
type BootError struct {
	Server  string
	Reasons []string // what the server says, at least one
}

// Error gives the reasons in one line.
func (e *BootError) Error() string {
	shown := e.Reasons
	more := ""
	if len(shown) > shownReasons {
		shown, more = shown[:shownReasons], fmt.Sprintf("; and %d more reasons", len(e.Reasons)-shownReasons)
	}
	return ErrFirstBoot.Error() + ": " + strings.Join(shown, "; ") + more
}

// Unwrap returns ErrFirstBoot.
func (e *BootError) Unwrap() error { return ErrFirstBoot }

// parseReport reads a server's BootReport. ok is false where it is not one.
func parseReport(b []byte) (failed bool, reasons []string, ok bool) {
	first, rest, _ := strings.Cut(printable(b), "\n")
	switch strings.TrimSpace(first) {
	case "done":
		return false, nil, true
	case "failed":
		return true, reasonsOf(strings.Split(rest, "\n")), true
	}
	return false, nil, false
}

// parseConsole finds what a server last said of its first boot on its console. ok is false where it said nothing so far.
func parseConsole(b []byte) (failed bool, reasons []string, ok bool) {
	lines := consoleLines(b)
	at := -1
	for i, l := range lines {
		if strings.Contains(l, BootMarker) {
			at = i
		}
	}
	if at < 0 {
		return false, nil, false
	}
	_, said, _ := strings.Cut(lines[at], BootMarker)
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

// consoleLines are the lines of a console as people can read them: terminals' control sequences (ECMA-48 section 5.4) are left out.
func consoleLines(b []byte) []string {
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
		if l = strings.TrimSpace(l); l != "" && !slices.Contains(out, shortened(l)) {
			out = append(out, shortened(l))
		}
	}
	if len(out) == 0 {
		out = []string{"the server gives no reason"}
	}
	return out
}

func shortened(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}

// cloudInitErrors are the errors in cloud-init's result.json or status.json: those of "v1" itself, and those of each stage in it. What
// is not such a file has none.
func cloudInitErrors(b []byte) []string {
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
			if e = strings.Join(strings.Fields(printable([]byte(e))), " "); e != "" && !slices.Contains(out, shortened(e)) {
				out = append(out, shortened(e))
			}
		}
	}
	return out
}

// lastLines are the last lines of a text that are not empty.
func lastLines(lines []string, n int) []string {
	kept := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.TrimSpace(l) == "" })
	return kept[max(0, len(kept)-n):]
}
