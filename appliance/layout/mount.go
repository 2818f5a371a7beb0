package layout

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// The paths that a system has for itself and its pool: nothing is mounted at one, nor below one of the first list.
var (
	within = []string{"/boot", "/dev", "/etc", "/persistent", "/proc", "/run", "/swap", "/sys", "/tmp", "/usr"}
	alone  = []string{"/", "/bin", "/lib", "/lib64", "/root", "/sbin", "/var"}
)

// errMount is what is wrong with a path that is none.
var errMount = errors.New("it is not an absolute path of letters, digits and signs, without spaces and quotes")

// CheckMount says why no partition can be mounted at a path: it is not absolute and clean, it has spaces, quotes or
// letters beside ASCII, or it belongs to the system or its pool.
func CheckMount(p string) error {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`\"'#`, r) }
	if !path.IsAbs(p) || path.Clean(p) != p || len(p) > MaxText || strings.ContainsFunc(p, odd) {
		return fmt.Errorf("path %q: %w", short(p), errMount)
	}
	if slices.Contains(alone, p) || slices.ContainsFunc(within, func(w string) bool {
		return p == w || strings.HasPrefix(p, w+"/")
	}) {
		return fmt.Errorf("path %q belongs to the system; take another one, such as /srv", p)
	}
	return nil
}
