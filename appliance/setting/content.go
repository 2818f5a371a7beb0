package setting

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// isPath reports whether p is an absolute path in its shortest form that a shell and a unit file can have in it.
func isPath(p string) bool {
	return len(p) > 1 && len(p) < 4096 && p[0] == '/' && path.Clean(p) == p && utf8.ValidString(p) &&
		!strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func (c *checker) files(all []File) {
	if len(all) > maxFiles {
		c.wrong("files", "there are %d files, the limit is %d", len(all), maxFiles)
		return
	}
	seen := map[string]bool{}
	for _, f := range all {
		at := fmt.Sprintf("files[%s]", f.Path)
		switch {
		case !isPath(f.Path):
			c.wrong(at, "%s is not an absolute path in its shortest form", quote(f.Path))
		case seen[f.Path]:
			c.wrong(at, "the file is in the list twice")
		case slices.ContainsFunc(kernelTrees, func(d string) bool { return strings.HasPrefix(f.Path+"/", d) }):
			c.wrong(at, "what is in %s is not kept: the system makes it at each start", path.Dir(f.Path))
		}
		seen[f.Path] = true
		if f.Base64 != nil && f.Content != "" {
			c.wrong(at, "give content or base64, not both")
		}
		for at, name := range map[string]string{at + ".owner": f.Owner, at + ".group": f.Group} {
			if name != "" && !owner.MatchString(name) {
				c.wrong(at, "%s is not a name or a number", quote(name))
			}
		}
		if f.Secret && f.Mode&0o007 != 0 {
			c.wrong(at+".mode", "the file is secret, and %04o lets every user of the machine read or change it", f.Mode)
		}
	}
}

// kernelTrees are filesystems of the kernel and such as are empty after each start.
var kernelTrees = []string{"/proc/", "/sys/", "/dev/", "/run/", "/tmp/"}

func (c *checker) hooks(all []Hook) {
	if len(all) > maxHooks {
		c.wrong("hooks", "there are %d hooks, the limit is %d", len(all), maxHooks)
		return
	}
	seen := map[string]bool{}
	for _, h := range all {
		at := fmt.Sprintf("hooks[%s]", h.Name)
		switch {
		case !hookName.MatchString(h.Name):
			c.wrong(at, "%s is not a name: letters, digits, dots, hyphens and underscores, at most 64", quote(h.Name))
		case seen[h.Name]:
			c.wrong(at, "the hook is in the list twice")
		}
		seen[h.Name] = true
		if !strings.HasPrefix(h.Script, "#!") {
			c.wrong(at+".script", "a script must start with #!, for example #!/bin/sh")
		}
	}
}

func (c *checker) configure(f Configure) {
	if f.Tool != Puppet && f.Tool != Ansible {
		c.wrong("configure.tool", "%s is not puppet or ansible", quote(string(f.Tool)))
	}
	switch {
	case (f.Git == "") == (f.Path == ""):
		c.wrong("configure", "give exactly one of git and path")
	case f.Path != "" && !isPath(f.Path):
		c.wrong("configure.path", "%s is not an absolute path in its shortest form", quote(f.Path))
	case f.Path != "" && f.Branch != "":
		c.wrong("configure.branch", "only a git repository has branches")
	case f.Git != "":
		if err := repository(f.Git); err != nil {
			c.wrong("configure.git", "%v", err)
		}
	}
	if f.Branch != "" && (!branch.MatchString(f.Branch) || strings.Contains(f.Branch, "..")) {
		c.wrong("configure.branch", "%s is not a branch", quote(f.Branch))
	}
	if f.Entry != "" && (strings.HasPrefix(f.Entry, "-") || !isPath("/"+f.Entry)) {
		c.wrong("configure.entry", "%s is not a path below the directory", quote(f.Entry))
	}
	if f.Every != 0 && f.Every < Duration(minEvery) {
		c.wrong("configure.every", "it is less than %s", minEvery)
	}
}

// repository says what is wrong with the place of a git repository: a URL, or the path of a bundle.
func repository(s string) error {
	if isPath(s) && strings.HasSuffix(s, ".bundle") {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || !slices.Contains([]string{"https", "http", "ssh", "git"}, u.Scheme):
		return errors.New("it is not an https, http, ssh or git URL, and not the path of a .bundle file")
	case u.User != nil && u.Scheme != "ssh":
		return errors.New("the URL has a user in it, which everyone on the machine could read: " +
			"use ssh and a secret file")
	case strings.ContainsAny(s, " \t\r\n'\"\\;`$"):
		return errors.New("the URL has characters in it that mean something else in shells")
	}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			return errors.New("the URL has a password in it")
		}
	}
	return nil
}
