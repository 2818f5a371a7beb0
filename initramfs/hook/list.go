package hook

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/imagestore/template/hookfile"
)

// Dir is the folder of an image's hooks.
const Dir = "/etc/griddle/deploy.d"

// maxFiles limits what a folder may have: no image needs as many.
const maxFiles = 200

// Origin says where a hook comes from.
type Origin string

// The values of Origin.
const (
	Image    Origin = "image"
	Settings Origin = "settings"
)

// hook is one program to run.
type hook struct {
	name   string // the file's, or that of the settings
	origin Origin
	path   string // in the root
	script []byte // of a settings hook: what to put at path first
	limit  time.Duration
	skip   bool // without a person: go on after a failure
	secret bool
}

func (h hook) String() string {
	return fmt.Sprintf("hook %s of the %s", job.Printable(h.name), h.origin)
}

// ofImage lists the image's hooks, which may be hostile: they have no other names than the folder has.
func (r *runner) ofImage() (hooks []hook, err error) {
	entries, err := r.root.List(Dir[1:])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(entries) > maxFiles {
		return nil, fmt.Errorf("%s has %d files, the limit is %d", Dir, len(entries), maxFiles)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		file := path.Join(Dir, e.Name())
		verdict, err := hookfile.Judge(e.Name(), func(string) (fs.FileInfo, error) { return r.root.Stat(file[1:]) })
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q: %w", file, err)
		case verdict == hookfile.NotExecutable:
			r.say(job.Info, "hook %s of the image is skipped: it is not executable", job.Printable(e.Name()))
		case verdict == hookfile.Program:
			hooks = append(hooks, hook{name: e.Name(), origin: Image, path: file, limit: setting.DefaultTimeout})
		}
	}
	return hooks, nil
}
