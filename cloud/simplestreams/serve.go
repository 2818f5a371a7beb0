package simplestreams

import (
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
)

// Handler serves what Publish wrote to a directory, and nothing else in it. Files that are replaced meanwhile are
// served as they were when a request came. It is to be mounted where its paths begin with streams/ or images/
// (http.StripPrefix), behind TLS.
func Handler(dir string) (http.Handler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &handler{root: root,
		image: regexp.MustCompile(`^images/[0-9a-f]{64}\.(lxd\.tar|root\.tar\.gz|squashfs)$`)}, nil
}

type handler struct {
	root  *os.Root
	image *regexp.Regexp
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	kind := "application/octet-stream"
	switch {
	case name == IndexPath || name == ImagesPath:
		kind = "application/json"
		w.Header().Set("Cache-Control", "no-cache")
	case !h.image.MatchString(name):
		http.NotFound(w, r)
		return
	}
	f, err := h.root.Open(name)
	var info fs.FileInfo
	if err == nil {
		defer f.Close()
		info, err = f.Stat()
	}
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	http.ServeContent(w, r, "", info.ModTime(), f)
}
