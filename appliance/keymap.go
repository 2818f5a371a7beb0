package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/appliance/config"
	"griddle/appliance/site"
	"griddle/cloud/yamltree"
)

// CheckKeymap says what is wrong with the configured keymap. Without boot files it cannot be checked,
// which is not an error.
func CheckKeymap(c config.Config) error {
	dir, err := bootDir(c)
	if err != nil {
		return nil
	}
	_, err = keymap(c, dir)
	return err
}

// keymap reads the configured keymap from the boot files. "us" is the kernel's own: it has no file, and nil.
func keymap(c config.Config, bootDir string) ([]byte, error) {
	if c.Keymap == "" || c.Keymap == site.DefaultKeymap {
		return nil, nil
	}
	if !config.ValidKeymap(c.Keymap) {
		return nil, wrongKeymap("%q is not the name of a keyboard layout", c.Keymap)
	}
	dir := filepath.Join(bootDir, "keymaps")
	b, err := os.ReadFile(filepath.Join(dir, c.Keymap+".bmap"))
	if errors.Is(err, fs.ErrNotExist) {
		found, err := filepath.Glob(filepath.Join(dir, "*.bmap"))
		if err != nil || len(found) == 0 {
			return nil, Advice{wrongKeymap("there are no keymaps in %s, so only %q works", dir, site.DefaultKeymap),
				"Make the boot files again with `make boot`."}
		}
		names := []string{site.DefaultKeymap}
		for _, f := range found {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".bmap"))
		}
		return nil, wrongKeymap("there is no %q%s; %s holds all %d", c.Keymap, nearKeymaps(c.Keymap, names), dir,
			len(names))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keymap: %w", err)
	}
	if _, err := site.ParseKeymap(b); err != nil {
		return nil, Advice{fmt.Errorf("%s: %w", filepath.Join(dir, c.Keymap+".bmap"), err),
			"Make the boot files again with `make boot`."}
	}
	return b, nil
}

func wrongKeymap(format string, args ...any) error {
	return config.Mistake{Key: "keymap", Text: fmt.Sprintf(format, args...)}
}

// nearKeymaps is "; near it are A, B, C": the names that begin as name does, which tell layout and variant apart, and
// those that are spelt nearly so. Best first, five at most.
func nearKeymaps(name string, have []string) string {
	name = strings.ToLower(name)
	rank := map[string]int{}
	var near []string
	for _, h := range have {
		common := 0
		for common < min(len(h), len(name)) && h[common] == name[common] {
			common++
		}
		d := yamltree.Typos(name, h)
		switch {
		case common >= 2:
			rank[h] = d - 8*common
		case len(name) > 1 && strings.Contains(h, name):
			rank[h] = d - 8*len(name)
		case d <= 1 || d == 2 && len(name) > 3:
			rank[h] = d
		default:
			continue
		}
		near = append(near, h)
	}
	slices.SortStableFunc(near, func(a, b string) int { return rank[a] - rank[b] })
	if len(near) == 0 {
		return ""
	}
	return "; near it are " + strings.Join(near[:min(5, len(near))], ", ")
}
