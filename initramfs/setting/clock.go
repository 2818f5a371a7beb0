package setting

import (
	"context"
	"path"
	"slices"
	"strings"

	"griddle/initramfs/systemd"
)

// The files of services that keep the time: chrony.conf(5), ntp.conf(5), timesyncd.conf(5).
var (
	chronyMain = []string{"etc/chrony/chrony.conf", "etc/chrony.conf"}
	chronyDirs = []string{"etc/chrony/conf.d", "etc/chrony/sources.d", "etc/chrony.d"}
	ntpMain    = []string{"etc/ntpsec/ntp.conf", "etc/ntp.conf"}
	ntpDirs    = []string{"etc/ntpsec/ntp.d", "etc/ntp.d"}
)

const timesyncd = "etc/systemd/timesyncd.conf.d/10-griddle.conf"

// clock sets the time servers of the service that the image has: chrony, an ntpd or systemd-timesyncd. A package of a
// service counts before systemd-timesyncd, which is part of systemd in many images that do not use it.
func (w *writer) clock(context.Context) error {
	if len(w.s.NTP) == 0 {
		return nil
	}
	switch {
	case w.Program("chronyd") != "":
		return w.sources(chronyMain, chronyDirs, "", "chrony.service", "chronyd.service")
	case w.Program("ntpd") != "":
		tos := ""
		if len(w.s.NTP) < 4 { // Debian's file wants three that agree, and four for a choice
			tos = "tos minclock 1 minsane 1\n"
		}
		return w.sources(ntpMain, ntpDirs, tos, "ntpsec.service", "ntp.service", "ntpd.service")
	case systemd.HasUnit(w.Dir, "systemd-timesyncd.service"):
		text := "[Time]\nNTP=\nNTP=" + strings.Join(w.s.NTP, " ") + "\n" // the empty one removes the image's
		if err := w.Write(timesyncd, []byte(text), 0o644); err != nil {
			return err
		}
		return systemd.Start(w.Dir, "systemd-timesyncd.service", "sysinit.target")
	}
	w.note("the time servers of ntp are not used: install the package chrony or systemd-timesyncd in the template")
	return nil
}

// sources writes time servers into the file that the image has of main, and turns its own into comments, those in dirs
// too.
func (w *writer) sources(main, dirs []string, more string, units ...string) error {
	files := w.existing(main...)
	if len(files) == 0 {
		return lacks("ntp: it has no /%s, the configuration of its time service", main[0])
	}
	for _, dir := range dirs {
		more, err := w.configs(dir)
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	for i, file := range files {
		old, err := w.Read(file)
		if err != nil {
			return err
		}
		now := withoutSources(withoutBlock(old))
		if i == 0 {
			now = endLine(now) + block("server "+strings.Join(w.s.NTP, " iburst\nserver ")+" iburst\n"+more)
		}
		if now != string(old) {
			if err := w.Replace(file, []byte(now), 0o644); err != nil {
				return err
			}
		}
	}
	for _, unit := range units {
		if systemd.HasUnit(w.Dir, unit) {
			return systemd.Start(w.Dir, unit, "multi-user.target")
		}
	}
	return nil
}

// configs are the files in a folder, none where it is missing.
func (w *writer) configs(dir string) ([]string, error) {
	if !w.Has(dir) {
		return nil, nil
	}
	entries, err := w.List(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			out = append(out, path.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// withoutSources has the lines that name time servers as comments.
func withoutSources(config string) string {
	var out strings.Builder
	for line := range strings.Lines(config) {
		f := strings.Fields(line)
		if len(f) > 0 && slices.Contains([]string{"server", "pool", "peer"}, strings.ToLower(f[0])) {
			line = "#" + line
		}
		out.WriteString(line)
	}
	return out.String()
}
