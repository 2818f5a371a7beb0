package bootloader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"griddle/imagestore/durable"
)

// maxConfig is the size of the largest grub.cfg that ReadConfig reads, in bytes.
const maxConfig = 1 << 20

// ErrConfig means that a grub.cfg is not one that Griddle wrote.
var ErrConfig = errors.New("it is not a grub.cfg that Griddle wrote")

// ReadConfig reads what grub.cfg on the EFI system partition mounted at dir says. It has no ESP and no ESPID: neither
// the partition's label nor its UUID is in the file.
func ReadConfig(dir string) (Config, error) {
	f, err := os.Open(configPath(dir))
	if err != nil {
		return Config{}, fmt.Errorf("reading grub.cfg: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return Config{}, fmt.Errorf("reading grub.cfg: %w", err)
	}
	c, err := parse(b)
	if err != nil {
		return Config{}, fmt.Errorf("reading grub.cfg: %w", err)
	}
	return c, nil
}

// WriteConfig writes grub.cfg alone, as InstallESP does: what boots changes by one rename.
func WriteConfig(dir string, c Config) error {
	cfg, err := c.Render()
	if err != nil {
		return err
	}
	if err := (file{"griddle/grub.cfg", cfg}).write(durable.Disk{}, dir); err != nil {
		return fmt.Errorf("writing grub.cfg: %w", err)
	}
	return nil
}

func configPath(dir string) string { return filepath.Join(dir, "griddle", "grub.cfg") }

// parse reads a grub.cfg of any format.
func parse(cfg []byte) (Config, error) {
	lines := strings.Split(string(cfg), "\n")
	if lines[0]+"\n" == header {
		return parseNew(lines)
	}
	return parseOld(lines)
}

// parseNew finds the root, the title and the arguments of a kernel.
func parseNew(lines []string) (Config, error) {
	c := Config{Flat: true}
	if n, ok := strings.CutPrefix(lines[min(1, len(lines)-1)], scriptLine); ok {
		c.Script, _ = strconv.Atoi(strings.TrimSuffix(n, "."))
	}
	var args []string
	pool := ""
	for _, line := range lines {
		line = strings.TrimSpace(line)
		c.Shared = c.Shared || line == sharedLine
		c.Others = c.Others || line == othersLine
		if r, ok := parseOwn(line); ok {
			c.Own = append(c.Own, r)
		}
		if b, ok := parseBoot(line); ok {
			c.Boot = &b
		}
		if ids, ok := strings.CutPrefix(line, mirrorLine); ok && c.Mirror == nil {
			c.Mirror = strings.Fields(strings.TrimSuffix(ids, "."))
		}
		if root, ok := strings.CutPrefix(line, "set griddle_root="); ok {
			words, err := split(root)
			if err != nil || len(words) != 1 {
				return Config{}, ErrConfig
			}
			c.Root, c.Flat = Roots+"/"+words[0], false
		}
		if cmd, ok := strings.CutPrefix(line, "if linux "); ok && args == nil {
			words, err := split(strings.TrimSuffix(cmd, "; then"))
			if err != nil || len(words) < 2 {
				return Config{}, ErrConfig
			}
			args = words[1:]
		}
		if words, err := split(line); err == nil && len(words) > 2 && words[0] == "search" &&
			slices.Contains(words, "--set=pool") && len(c.Own) > 0 {
			pool = words[len(words)-1] // no kernel argument names it
		}
		if words, err := split(line); err == nil && len(words) > 2 && words[0] == "menuentry" && c.Title == "" {
			c.Title = words[1]
		}
	}
	if !c.Flat {
		c.Title = ""
	}
	own := c.fixed(flags, try)
	if len(c.Own) == 0 {
		own = own[1:]
	}
	c.PoolID = pool
	return c.take(args, own)
}

// parseOld finds the menu entry of Griddle and the kernel's arguments in it, which name the root.
func parseOld(lines []string) (Config, error) {
	c := Config{Flat: true}
	entry := false
	for _, line := range lines {
		words, err := split(strings.TrimSpace(line))
		switch {
		case err != nil || len(words) < 3:
		case words[0] == "menuentry" && words[2] == "--id" && !entry:
			c.Title, entry = words[1], true
		case words[0] == "linux" && entry:
			words = slices.DeleteFunc(words[2:], func(w string) bool {
				root, ok := strings.CutPrefix(w, "rootflags=subvol=")
				if ok = ok && c.Root == ""; ok {
					c.Title, c.Root, c.Flat, c.Old = "", root, false, true
				}
				return ok
			})
			return c.take(words, Config{Flat: true}.fixed("", "")[1:])
		}
	}
	return Config{}, ErrConfig
}

// take reads the kernel's arguments: Render's own, each once, and those of the operator.
func (c Config) take(words, own []string) (Config, error) {
	own = slices.Clone(own)
	for _, w := range words {
		id, isPool := strings.CutPrefix(w, "root=UUID=")
		at := slices.Index(own, w)
		switch {
		case isPool && c.PoolID == "":
			c.PoolID = id
		case at >= 0:
			own = slices.Delete(own, at, at+1)
		default:
			c.Args = append(c.Args, w)
		}
	}
	if c.PoolID == "" {
		return Config{}, ErrConfig
	}
	return c, nil
}

// split undoes quote: words of GRUB's script language with single and double quotes, and no others.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in := false
	for i := 0; i < len(line); i++ {
		switch ch := line[i]; {
		case ch == '\'' || ch == '"':
			end := strings.IndexByte(line[i+1:], ch)
			if end < 0 {
				return nil, ErrConfig
			}
			word.WriteString(line[i+1 : i+1+end])
			i, in = i+1+end, true
		case ch == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			in = true
		case ch != ' ' && ch != '\t':
			word.WriteByte(ch)
			in = true
		case in:
			words = append(words, word.String())
			word.Reset()
			in = false
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
