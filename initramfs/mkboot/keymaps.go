package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"

	"griddle/appliance/site"
)

// keymapPackages hold the keyboard layouts (xkb-data), the program that makes console keymaps of them (console-setup),
// and the one that makes those binary (kbd). The text keymaps of console-data are older than most keyboards: its "de"
// has no umlauts.
func keymapPackages() []string { return []string{"console-setup", "kbd", "xkb-data"} }

// layout is one keymap: its name in the configuration, and what X calls it.
type layout struct{ name, layout, variant string }

// variants are the layouts beside the plain ones that people ask for.
func variants() []layout {
	return []layout{
		{"be-nodeadkeys", "be", "nodeadkeys"}, {"br-nodeadkeys", "br", "nodeadkeys"}, {"ca-multix", "ca", "multix"},
		{"ch-fr", "ch", "fr"}, {"ch-de-nodeadkeys", "ch", "de_nodeadkeys"}, {"cz-qwerty", "cz", "qwerty"},
		{"de-neo", "de", "neo"}, {"de-nodeadkeys", "de", "nodeadkeys"}, {"dk-nodeadkeys", "dk", "nodeadkeys"},
		{"es-nodeadkeys", "es", "nodeadkeys"}, {"fr-bepo", "fr", "bepo"}, {"fr-latin9", "fr", "latin9"},
		{"fr-nodeadkeys", "fr", "nodeadkeys"}, {"gb-dvorak", "gb", "dvorak"}, {"it-nodeadkeys", "it", "nodeadkeys"},
		{"no-nodeadkeys", "no", "nodeadkeys"}, {"pt-nodeadkeys", "pt", "nodeadkeys"},
		{"se-nodeadkeys", "se", "nodeadkeys"}, {"sk-qwerty", "sk", "qwerty"}, {"tr-f", "tr", "f"},
		{"us-altgr-intl", "us", "altgr-intl"}, {"us-colemak", "us", "colemak"}, {"us-dvorak", "us", "dvorak"},
		{"us-intl", "us", "intl"},
		// Names that console users know.
		{"uk", "gb", ""}, {"dvorak", "us", "dvorak"}, {"de-latin1", "de", ""},
		{"de-latin1-nodeadkeys", "de", "nodeadkeys"},
	}
}

// other lists the layouts that have no Latin letters, without which no disk can be named: there the keyboard
// starts with those of "us", and both Alt and Shift together change over. The list is that of
// keyboard-configuration's own script.
const other = " af am ara ben bd bg bt by et ge gh gn gr guj guru il in iq ir iku kan kg kh kz la lao lk mk mm mn mv " +
	"mal my np ori pk rs ru scc sy syr tel th tj tam ua uz "

// keymaps makes the binary keymaps, NAME.bmap each.
func (b *builder) keymaps(ctx context.Context, k *kernel) (map[string][]byte, error) {
	list, err := os.ReadFile(filepath.Join(k.root, "usr/share/X11/xkb/rules/base.lst"))
	if err != nil {
		return nil, fmt.Errorf("reading the keyboard layouts: %w", err)
	}
	wanted := append(layouts(string(list)), variants()...)
	archived, err := b.cached("keymaps", [][]byte{[]byte(k.packages), fmt.Append(nil, wanted, other)},
		func() ([]byte, error) {
			b.printf("making %d keymaps; this is kept for the next time", len(wanted))
			var records []cpio.Record
			for _, l := range wanted {
				data, err := keymap(ctx, k.root, l)
				if err != nil {
					return nil, err
				}
				records = append(records, cpio.StaticFile(l.name+".bmap", string(data), 0o644))
			}
			return archive(records)
		})
	if err != nil {
		return nil, err
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archived)))
	if err != nil {
		return nil, fmt.Errorf("reading the keymaps: %w", err)
	}
	out := map[string][]byte{}
	for _, r := range records {
		data := make([]byte, r.FileSize)
		if _, err := r.ReadAt(data, 0); err != nil {
			return nil, fmt.Errorf("reading the keymaps: %w", err)
		}
		out[r.Name] = data
	}
	return out, nil
}

// layouts reads the names of the section "! layout" of base.lst. "us" is the kernel's own.
func layouts(list string) []layout {
	_, list, _ = strings.Cut(list, "! layout\n")
	list, _, _ = strings.Cut(list, "\n!")
	var out []layout
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 1 &&
			!slices.Contains([]string{site.DefaultKeymap, "custom", "brai"}, f[0]) {
			out = append(out, layout{name: f[0], layout: f[0]})
		}
	}
	return out
}

// keymap is one binary keymap with Unicode values, for a console in UTF-8.
func keymap(ctx context.Context, root string, l layout) ([]byte, error) {
	args := []string{filepath.Join(root, "usr/bin/ckbcomp"),
		"-I" + filepath.Join(root, "usr/share/X11/xkb"), "-model", "pc105"}
	switch {
	case strings.Contains(other, " "+l.layout+" "):
		args = append(args, "-layout", "us,"+l.layout, "-option", "grp:alt_shift_toggle")
	default:
		args = append(args, "-layout", l.layout, "-variant", l.variant)
	}
	text, err := output(ctx, nil, "perl", args...)
	if err != nil {
		return nil, fmt.Errorf("making the keymap %s: %w", l.name, err)
	}
	data, err := output(ctx, text, filepath.Join(root, "bin/loadkeys"), "-q", "-u", "-b", "-")
	if err != nil {
		return nil, fmt.Errorf("making the keymap %s: %w", l.name, err)
	}
	if _, err := site.ParseKeymap(data); err != nil {
		return nil, fmt.Errorf("making the keymap %s: %w", l.name, err)
	}
	return data, nil
}

func output(ctx context.Context, stdin []byte, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w\n%s", filepath.Base(program), err, &stderr)
	}
	return out, nil
}

// dropOthers removes the files of dir that are not in keep.
func dropOthers(dir string, keep map[string][]byte) error {
	found, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clearing %s: %w", dir, err)
	}
	for _, f := range found {
		if _, ok := keep[f.Name()]; ok || f.Type()&fs.ModeDir != 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			return fmt.Errorf("clearing %s: %w", dir, err)
		}
	}
	return nil
}
