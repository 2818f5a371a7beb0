package setting

import (
	"context"
	"strings"

	"griddle/appliance/setting/proxy"
)

// proxy makes the HTTP proxy known to logins (pam_env(8)), to services, and to package managers: dnf has a file of its
// own, pacman reads the environment.
func (w *writer) proxy(context.Context) error {
	if w.s.Proxy == "" {
		return nil
	}
	old, err := w.Read("etc/environment")
	if err != nil {
		return err
	}
	if err := w.Replace("etc/environment", withVariables(old, proxy.Variables(w.s)), 0o644); err != nil {
		return err
	}
	if err := w.Write(strings.TrimPrefix(proxy.ManagerFile, "/"), []byte(proxy.Manager(w.s)), 0o644); err != nil {
		return err
	}
	if w.Has("etc/apt/apt.conf.d") {
		if err := w.Write(strings.TrimPrefix(proxy.AptFile, "/"), []byte(proxy.Apt(w.s)), 0o644); err != nil {
			return err
		}
	}
	const dnf = "etc/dnf/dnf.conf"
	if !w.HasFile(dnf) {
		return nil
	}
	conf, err := w.Read(dnf)
	if err != nil {
		return err
	}
	return w.Replace(dnf, inMain(conf, "proxy", w.s.Proxy), 0o644)
}

// withVariables has the assignments of a proxy in place of those of the image.
func withVariables(environment []byte, proxy []string) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(environment)) {
		key, _, _ := strings.Cut(line, "=")
		if !strings.HasSuffix(strings.ToLower(strings.TrimSpace(key)), "_proxy") {
			b.WriteString(endLine(line))
		}
	}
	b.WriteString(strings.Join(proxy, "\n") + "\n")
	return []byte(b.String())
}

// inMain sets a key in the section main of a file of dnf.conf(5), which has it first.
func inMain(conf []byte, key, value string) []byte {
	var out []string
	done, main := false, false
	for _, line := range linesOf(conf) {
		name := strings.TrimSpace(line)
		k, _, _ := strings.Cut(name, "=")
		switch {
		case strings.HasPrefix(name, "["):
			main = name == "[main]"
		case main && strings.TrimSpace(k) == key:
			continue
		}
		out = append(out, line)
		if main && !done {
			out, done = append(out, key+"="+value), true
		}
	}
	if !done {
		out = append(out, "[main]", key+"="+value)
	}
	return []byte(strings.Join(out, "\n") + "\n")
}
