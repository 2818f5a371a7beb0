// Package hookfile says which files of a folder of hooks are run: the same rule for the hooks that run when an image is
// published, and for those that run when it is installed.
//
// Call Judge for each name of the folder, in the order of the names: that is the order in which hooks run. Judge is
// pure but for the stat that it is given.
package hookfile

import (
	"io/fs"
	"strings"
)

// Verdict is what to do with a file.
type Verdict int

// The values of Verdict.
const (
	Ignored       Verdict = iota // a folder, a copy that an editor made, a hidden file
	NotExecutable                // a hook that is turned off; it is worth a line
	Program                      // a hook to run
)

// Judge judges the file with a name. stat follows symlinks; its error is returned, and it is not called for hidden
// files and copies of editors.
func Judge(name string, stat func(name string) (fs.FileInfo, error)) (Verdict, error) {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
		return Ignored, nil
	}
	i, err := stat(name)
	switch {
	case err != nil:
		return Ignored, err
	case !i.Mode().IsRegular():
		return Ignored, nil
	case i.Mode()&0o111 == 0:
		return NotExecutable, nil
	}
	return Program, nil
}
