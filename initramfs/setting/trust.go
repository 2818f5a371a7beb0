package setting

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"
)

// trustStore is how a distribution trusts certificates in addition to its own.
type trustStore struct {
	dir     string // with a file for each
	program string // makes bundles of them
	args    []string
}

// trustStores are those of Debian (update-ca-certificates(8)), of Fedora (update-ca-trust(8)) and of Arch (trust(1)).
var trustStores = []trustStore{
	{"usr/local/share/ca-certificates", "update-ca-certificates", nil},
	{"etc/pki/ca-trust/source/anchors", "update-ca-trust", nil},
	{"etc/ca-certificates/trust-source/anchors", "update-ca-trust", nil},
	{"etc/ca-certificates/trust-source/anchors", "trust", []string{"extract-compat"}},
}

// trust adds certificates to those that the system trusts. Those of earlier settings go.
func (w *writer) trust(ctx context.Context) error {
	if len(w.s.CA) == 0 {
		return nil
	}
	i := slices.IndexFunc(trustStores, func(t trustStore) bool {
		// Debian's folder may be missing, as in every part of /usr/local.
		return w.Program(t.program) != "" && (w.Has(t.dir) || t.program == "update-ca-certificates")
	})
	if i < 0 {
		return lacks("ca: it has no update-ca-certificates and no update-ca-trust: install the package " +
			"ca-certificates in the template")
	}
	t := trustStores[i]
	names := map[string]string{}
	for _, text := range w.s.CA {
		text = strings.TrimSpace(text) + "\n"
		sum := sha256.Sum256([]byte(text))
		names[fmt.Sprintf("griddle-%x.crt", sum[:8])] = text
	}
	old, err := w.configs(t.dir)
	if err != nil {
		return err
	}
	for _, file := range old {
		if name := path.Base(file); strings.HasPrefix(name, "griddle-") && names[name] == "" {
			if err := w.Remove(file); err != nil {
				return fmt.Errorf("removing a certificate of earlier settings: %w", err)
			}
		}
	}
	for name, text := range names {
		if err := w.Write(path.Join(t.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if w.Run == nil {
		w.note("the certificates of ca are trusted when %s has run on the machine",
			strings.Join(append([]string{t.program}, t.args...), " "))
		return nil
	}
	return w.Run(ctx, t.program, t.args...)
}
