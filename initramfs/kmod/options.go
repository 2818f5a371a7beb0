package kmod

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strings"
)

// moduleOptions is what the kernel's command line says to modules. The kernel itself reads it only for what is built
// in; for the rest it is modprobe's work (modprobe(8), "--config"; kmod's libkmod-config.c).
type moduleOptions struct {
	params    map[string]string // module -> "name=value name2=value2"
	blacklist map[string]bool   // modules that no alias loads; their own names still do
}

// parseModuleOptions reads "module.parameter=value" and "modprobe.blacklist=a,b" from a kernel command line. Values
// with spaces are in double quotes, as in "nvme_core.x=\"a b\"" (kernel/params.c, next_arg).
func parseModuleOptions(cmdline string) moduleOptions {
	o := moduleOptions{params: map[string]string{}, blacklist: map[string]bool{}}
	quoted := false
	words := strings.FieldsFunc(cmdline, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
	for _, w := range words {
		if w == "--" {
			break // the rest is for process 1
		}
		if key, value, ok := strings.Cut(w, "="); ok && w[0] == '"' {
			w = key[1:] + `="` + strings.TrimSuffix(value, `"`) + `"`
		}
		key, value, _ := strings.Cut(w, "=")
		module, param, ok := strings.Cut(key, ".")
		switch {
		case !ok || module == "" || param == "":
		case key == "modprobe.blacklist":
			for name := range strings.SplitSeq(value, ",") {
				o.blacklist[moduleName(name)] = true
			}
		default:
			_, option, _ := strings.Cut(w, ".")
			name := moduleName(module)
			o.params[name] = strings.TrimSpace(o.params[name] + " " + option)
		}
	}
	return o
}

// moduleName is name as the kernel writes it: "-" and "_" are the same in names of modules.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// parseDependencies reads modules.dep: each module's dependencies, direct and indirect.
func parseDependencies(r io.Reader) (map[string][]string, error) {
	file := func(p string) string {
		name, _, _ := strings.Cut(path.Base(p), ".ko")
		return moduleName(name)
	}
	deps := map[string][]string{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		module, needs, ok := strings.Cut(s.Text(), ":")
		if !ok {
			continue
		}
		for _, p := range strings.Fields(needs) {
			deps[file(module)] = append(deps[file(module)], file(p))
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading modules.dep: %w", err)
	}
	return deps, nil
}
