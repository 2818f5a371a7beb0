package setting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"griddle/initramfs/sysroot"
)

// names writes the hostname and the domain.
func (w *writer) names(context.Context) error {
	if w.s.Hostname == "" && w.s.Domain == "" {
		return nil
	}
	host := w.s.Hostname
	if host == "" {
		old, err := w.Read("etc/hostname")
		if err != nil {
			return err
		}
		host, _, _ = strings.Cut(strings.TrimSpace(string(old)), ".")
		if host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
			return lacks("domain: its /etc/hostname has no hostname for the domain %s: give hostname too", w.s.Domain)
		}
	} else if err := w.Write("etc/hostname", []byte(host+"\n"), 0o644); err != nil {
		return err
	}
	if w.s.Domain != "" {
		host += "." + w.s.Domain
	}
	hosts, err := w.Read("etc/hosts")
	if err != nil {
		return err
	}
	return w.Replace("etc/hosts", sysroot.SetHostLine(hosts, host), 0o644)
}

// zone sets the time zone (localtime(5)).
func (w *writer) zone(context.Context) error {
	if w.s.Zone == "" {
		return nil
	}
	data := path.Join("usr/share/zoneinfo", w.s.Zone)
	if !w.Has(data) {
		return lacks("zone: it has no /%s: install the package tzdata in the template, or correct the name", data)
	}
	if err := w.ReplaceLink("../"+data, "etc/localtime"); err != nil {
		return err
	}
	if !w.Has("etc/timezone") {
		return nil
	}
	return w.Replace("etc/timezone", []byte(w.s.Zone+"\n"), 0o644)
}

// locale sets the language of the system (locale.conf(5); Debian has /etc/default/locale too), and has it generated.
func (w *writer) locale(ctx context.Context) error {
	if w.s.Locale == "" {
		return nil
	}
	files := w.existing("etc/locale.conf", "etc/default/locale")
	if len(files) == 0 {
		files = []string{"etc/locale.conf"}
		if w.Has("etc/debian_version") {
			files = []string{"etc/default/locale"}
		}
	}
	for _, f := range files {
		if err := w.assign(f, "LANG", w.s.Locale); err != nil {
			return err
		}
	}
	gen, err := w.Read("etc/locale.gen")
	if err != nil {
		return err
	}
	if gen != nil {
		if err := w.Replace("etc/locale.gen", generated(gen, w.s.Locale), 0o644); err != nil {
			return err
		}
	}
	has, err := w.hasLocale()
	if err != nil || has {
		return err
	}
	if gen != nil && w.Run != nil && w.Program("locale-gen") != "" {
		return w.Run(ctx, "locale-gen")
	}
	w.note("the locale %s is not generated in the image: install the package locales in the template", w.s.Locale)
	return nil
}

// generated has the line of a locale in locale.gen(5): the one in comments, or a new one.
func generated(gen []byte, locale string) []byte {
	lines := linesOf(gen)
	_, charset, ok := strings.Cut(locale, ".")
	charset, _, _ = strings.Cut(charset, "@")
	if !ok {
		charset = "ISO-8859-1"
	}
	want := locale + " " + charset
	for i, line := range lines {
		if strings.Join(strings.Fields(strings.TrimLeft(line, "# ")), " ") == want {
			lines[i] = want
			return []byte(strings.Join(lines, "\n") + "\n")
		}
	}
	return []byte(strings.Join(append(lines, want), "\n") + "\n")
}

// maxArchive is how much of the archive of locales is searched: glibc's own has 220 MiB with all of them.
const maxArchive = 256 << 20

// hasLocale reports whether the image has the locale: glibc has one for programs in C, the others are folders or in an
// archive under their names (localedef(1)).
func (w *writer) hasLocale() (bool, error) {
	name, charset, _ := strings.Cut(w.s.Locale, ".")
	charset, modifier, _ := strings.Cut(charset, "@")
	if name == "C" || name == "POSIX" {
		return true, nil
	}
	if charset != "" {
		name += "." + strings.ToLower(strings.ReplaceAll(charset, "-", ""))
	}
	if modifier != "" {
		name += "@" + modifier
	}
	if w.Has("usr/lib/locale/"+name) || w.Has("usr/lib/locale/"+w.s.Locale) {
		return true, nil
	}
	st, err := w.Stat("usr/lib/locale/locale-archive")
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxArchive {
		return false, nil
	}
	f, err := w.Open("usr/lib/locale/locale-archive")
	if err != nil {
		return false, fmt.Errorf("looking for the locale %s: %w", w.s.Locale, err)
	}
	defer f.Close()
	return contains(f, []byte("\x00"+name+"\x00"))
}

// existing are those of the names that are files of the image.
func (w *writer) existing(names ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		st, err := w.Lstat(n)
		return err != nil || !st.Mode().IsRegular()
	})
}

// assign sets a variable in a file of assignments as a shell reads them.
func (w *writer) assign(file, name, value string) error {
	old, err := w.Read(file)
	if err != nil {
		return err
	}
	return w.Replace(file, assigned(old, name, value), 0o644)
}

// assigned has one assignment of name in place of the first one, or at the end.
func assigned(b []byte, name, value string) []byte {
	var out []string
	done := false
	for _, line := range linesOf(b) {
		key, _, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok || strings.TrimSpace(key) != name {
			out = append(out, line)
		} else if !done {
			out, done = append(out, name+"="+value), true
		}
	}
	if !done {
		out = append(out, name+"="+value)
	}
	return []byte(strings.Join(out, "\n") + "\n")
}

// keymap sets the console's keymap (vconsole.conf(5)), and on Debian the keyboard (keyboard(5)).
func (w *writer) keymap(context.Context) error {
	if w.s.Keymap == "" {
		return nil
	}
	keyboard := w.existing("etc/default/keyboard")
	if len(keyboard) == 0 || len(w.existing("etc/vconsole.conf")) > 0 { // Debian 13 has a link to the keyboard there
		if err := w.assign("etc/vconsole.conf", "KEYMAP", w.s.Keymap); err != nil {
			return err
		}
	}
	if len(keyboard) == 0 {
		return nil
	}
	layout, variant := xkb(w.s.Keymap)
	old, err := w.Read(keyboard[0])
	if err != nil {
		return err
	}
	now := assigned(assigned(old, "XKBLAYOUT", `"`+layout+`"`), "XKBVARIANT", `"`+variant+`"`)
	if bytes.Equal(old, now) {
		return nil
	}
	if err := w.Replace(keyboard[0], now, 0o644); err != nil {
		return err
	}
	// What console-setup made of the keyboard before; it makes these files again at the first start.
	entries, err := w.List("etc/console-setup")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "cached_") {
			if err := w.Remove("etc/console-setup/" + e.Name()); err != nil {
				return fmt.Errorf("removing the old keymap: %w", err)
			}
		}
	}
	return nil
}

// xkb is the layout and the variant of X whose name differs from that of the console's keymap (localectl's table,
// systemd src/locale/kbd-model-map).
func xkb(keymap string) (layout, variant string) {
	layout, rest, _ := strings.Cut(keymap, "-")
	for _, v := range []string{"nodeadkeys", "dvorak", "colemak"} {
		if strings.Contains(rest, v) || layout == v {
			variant = v
		}
	}
	if layout == variant {
		layout = "us"
	}
	layout = strings.TrimRight(strings.TrimSuffix(layout, "_CH"), "0123456789")
	if keymap == "de_CH-latin1" || keymap == "fr_CH-latin1" || strings.HasPrefix(keymap, "sg") {
		layout = "ch"
	}
	if other := map[string]string{"uk": "gb", "sv": "se", "slovene": "si", "croat": "hr", "trq": "tr", "cf": "ca",
		"br-abnt": "br", "la": "latam"}[layout]; other != "" {
		layout = other
	}
	return layout, variant
}
