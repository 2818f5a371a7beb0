package setting

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// KeepPath says what is wrong with a path that a machine shall keep over updates: one of settings, or of a list of an
// image.
func KeepPath(p string) error {
	within := func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
	switch {
	case p == "/" || slices.Contains(imageTrees, p):
		return fmt.Errorf("%s belongs to the image: give a folder below it", p)
	case !isPath(p):
		return fmt.Errorf("%s is not an absolute path in its shortest form", quote(p))
	case slices.ContainsFunc(kernelTrees, func(d string) bool { return within(strings.TrimSuffix(d, "/")) }):
		return errors.New("it is not kept: the system makes it at each start")
	case within("/home") || within("/persistent"):
		return errors.New("/home and /persistent are always kept: remove it")
	case within("/boot") || within("/efi") || within("/usr/lib/modules") || within("/lib/modules"):
		return errors.New("kernels and boot loaders are those of the image")
	}
	return nil
}

// imageTrees are folders that would take more of an old image along than of a machine.
var imageTrees = []string{"/usr", "/usr/bin", "/usr/lib", "/usr/sbin", "/bin", "/lib", "/lib32", "/lib64", "/libx32",
	"/sbin", "/var", "/var/lib"}

func (c *checker) keep(all []string) {
	if len(all) > maxList {
		c.wrong("keep", "it has %d entries, the limit is %d", len(all), maxList)
		return
	}
	for i, p := range all {
		at := fmt.Sprintf("keep[%d]", i)
		if err := KeepPath(p); err != nil {
			c.wrong(at, "%v", err)
		} else if slices.Contains(all[:i], p) {
			c.wrong(at, "%s is in the list twice", quote(p))
		}
	}
}
