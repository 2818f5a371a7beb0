package content

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// BlkidPath is the program of libblkid, from Debian's util-linux. Busybox and u-root have other programs with this
// name.
const BlkidPath = "/sbin/blkid"

// Blkid asks the program at BlkidPath, which knows about 70 formats. It is for Scanner.Ask. If the program is missing,
// fails or takes more than 5 seconds, the answer is empty: Sample decides whether a disk is blank.
func Blkid(ctx context.Context, r Region) Answer {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	args := []string{"-p", "-o", "export"}
	if r.Size > 0 {
		args = append(args, "-O", strconv.FormatInt(r.Offset, 10), "-S", strconv.FormatInt(r.Size, 10))
	}
	cmd := exec.CommandContext(ctx, BlkidPath, append(args, r.Path)...)
	cmd.Env = []string{"LC_ALL=C", "BLKID_FILE=/dev/null"}
	cmd.WaitDelay = time.Second
	out := &bounded{left: 64 << 10}
	cmd.Stdout = out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 8 { // man blkid: "ambivalent low-level probing result"
		return Answer{Signature: Signature{Type: "several formats at once"}}
	}
	if err != nil { // 2: nothing is recognised
		return Answer{}
	}
	return parseBlkid(out.Bytes())
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	return len(p), nil
}

// parseBlkid reads the lines "KEY=value" of "blkid -o export". Labels are hostile; blkid puts a backslash before each
// character that a shell would take for its own, and writes bytes that cannot be printed as \xHH.
func parseBlkid(b []byte) Answer {
	var a Answer
	for line := range bytes.Lines(b) {
		key, value, _ := strings.Cut(strings.TrimRight(string(line), "\n"), "=")
		value = Clean(unescape(value))
		if len(value) > 256 {
			value = Clean(value[:256])
		}
		switch key {
		case "TYPE":
			a.Signature.Type = value
		case "LABEL":
			a.Signature.Label = value
		case "UUID":
			a.UUID = value
		case "PTTYPE":
			a.Table = value
		}
	}
	if a.Table == "dos" {
		a.Table = "mbr"
	}
	if a.Signature.Type == "" {
		a.Signature.Label, a.UUID = "", ""
	}
	return a
}

// unescape undoes what blkid did to a value.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if s[i+1] == 'x' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}
