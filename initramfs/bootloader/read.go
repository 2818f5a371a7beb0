package bootloader

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxConfig is the size of the largest grub.cfg that ReadConfig reads, in bytes.
const maxConfig = 1 << 20

// ErrConfig means that a grub.cfg is not one that Griddle wrote.
var ErrConfig = errors.New("it is not a grub.cfg that Griddle wrote")

// ReadConfig reads what grub.cfg on the EFI system partition mounted at dir says. It has no ESP: the partition's label
// is not in the file.
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
	if err := writeDurable(configPath(dir), cfg); err != nil {
		return fmt.Errorf("writing grub.cfg: %w", err)
	}
	return nil
}

func configPath(dir string) string { return filepath.Join(dir, "griddle", "grub.cfg") }

// parse finds the menu entry of Griddle and the kernel's arguments in it.
func parse(cfg []byte) (Config, error) {
	var c Config
	entry := false
	for lines := bufio.NewScanner(bytes.NewReader(cfg)); lines.Scan(); {
		words, err := split(strings.TrimSpace(lines.Text()))
		switch {
		case err != nil || len(words) < 3:
		case words[0] == "menuentry" && words[2] == "--id" && !entry:
			c.Title, entry = words[1], true
		case words[0] == "linux" && entry:
			return c.arguments(words[2:])
		}
	}
	return Config{}, ErrConfig
}

// arguments takes the kernel's arguments: Render's own, and then those of the operator.
func (c Config) arguments(words []string) (Config, error) {
	own := map[string]bool{"rw": true, "console=ttyS0,115200": true, "console=tty0": true}
	c.Flat = true
	for _, w := range words {
		id, isPool := strings.CutPrefix(w, "root=UUID=")
		root, isRoot := strings.CutPrefix(w, "rootflags=subvol=")
		switch {
		case isPool && c.PoolID == "":
			c.PoolID = id
		case isRoot && c.Root == "":
			c.Root, c.Flat = root, false
		case own[w]:
			own[w] = false // the same once more is the operator's
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
