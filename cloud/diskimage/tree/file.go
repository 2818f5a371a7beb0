package tree

import (
	"errors"
	"fmt"
	"strings"
)

// File is a file, folder or symlink that is laid over an image.
type File struct {
	Path    string `json:"path"` // absolute
	Mode    uint32 `json:"mode"` // permission bits with setuid, setgid and sticky: 0 to 07777
	UID     int    `json:"uid"`
	GID     int    `json:"gid"`
	Content []byte `json:"content,omitempty"`
	Link    string `json:"link,omitempty"` // target of a symlink, which has no content and no mode
	Dir     bool   `json:"dir,omitempty"`  // a folder; one that is there takes owner and mode

	Local string `json:"-"` // local file with the content, of Size bytes, if it is not in Content
	Size  int64  `json:"-"`
}

// Validate says what is wrong with f.
func (f File) Validate() error {
	switch {
	case !strings.HasPrefix(f.Path, "/"):
		return errors.New("its path is not absolute")
	case strings.Trim(f.Path, "/.") == "":
		return errors.New("it is the root folder")
	case f.Mode > 0o7777:
		return fmt.Errorf("mode %o has more than permission bits", f.Mode)
	case f.UID < 0 || f.GID < 0 || f.UID > maxID || f.GID > maxID:
		return fmt.Errorf("owner %d:%d is not valid", f.UID, f.GID)
	case f.Dir && (f.Link != "" || len(f.Content) > 0), f.Link != "" && len(f.Content) > 0:
		return errors.New("it is more than one of file, folder and symlink")
	}
	_, err := cleanName(strings.TrimLeft(f.Path, "/"))
	return err
}

// Name is the path as entries of a tree have it: without a slash at its beginning.
func (f File) Name() string {
	n, err := cleanName(strings.TrimLeft(f.Path, "/"))
	if err != nil {
		return f.Path
	}
	return n
}
