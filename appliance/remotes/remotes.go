// Package remotes is the file in which a user's command line keeps the servers that it knows, by names.
//
// Call Load, and Update to change it. The file is JSON:
//
//	{"current": "lab",
//	 "servers": {"lab": {"url": "https://10.0.0.1:8443", "ca": "-----BEGIN CERTIFICATE-----…",
//	                     "token": "griddle_…", "account": "ada", "until": "2026-12-07T10:00:00Z"}}}
//
// It has tokens, so its mode is 0600 and that of its directory, if Update makes it, 0700. It is old or new, never
// between, and durable when Update returns (durable.Disk.Replace).
package remotes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/durable"
)

// Local is the name of the server on this computer, as its state directory describes it. The file never has it.
const Local = "local"

// File is the content of the file.
type File struct {
	Current string            `json:"current,omitempty"` // name of the server that commands use; "" for Local
	Servers map[string]Server `json:"servers"`
}

// Server is a server that the user knows.
type Server struct {
	URL     string    `json:"url"`             // https://HOST:PORT
	CA      string    `json:"ca"`              // certificates in PEM, one of which signed the server's
	Token   string    `json:"token,omitempty"` // "" after a logout
	Account string    `json:"account,omitempty"`
	Until   time.Time `json:"until,omitzero"` // when the token expires; zero for never or unknown
}

const maxFile = 4 << 20 // bytes

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// CheckName returns an error for what is not the name of a server.
func CheckName(name string) error {
	if !nameForm.MatchString(name) || name == Local {
		return fmt.Errorf("the name %.60q of a server: it has 1 to 32 of the characters a-z 0-9 . _ -, begins with a "+
			"letter or a digit, and is not %q", name, Local)
	}
	return nil
}

// CleanURL returns the base URL of a server as the file has it.
func CleanURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" ||
		u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("%.200q is not of the form https://HOST:PORT", s)
	}
	return "https://" + strings.ToLower(u.Host), nil
}

// Parse reads the content of the file, and checks names and URLs.
func Parse(b []byte) (File, error) {
	var f File
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&f); err != nil {
		return File{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return File{}, errors.New("there is more after the first value")
	}
	for name, s := range f.Servers {
		if err := CheckName(name); err != nil {
			return File{}, err
		}
		if clean, err := CleanURL(s.URL); err != nil || clean != s.URL {
			return File{}, fmt.Errorf("server %s: the URL %.200q is not of the form https://HOST:PORT", name, s.URL)
		}
	}
	if _, ok := f.Servers[f.Current]; f.Current != "" && !ok {
		return File{}, fmt.Errorf("the current server %.60q is not among the servers", f.Current)
	}
	return f, nil
}

// Load reads the file. One that does not exist is empty. exposed says that other users of this computer can read it.
func Load(path string) (f File, exposed bool, err error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, false, nil
	}
	if err == nil && st.Size() > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err == nil {
		f, err = Parse(b)
	}
	if err != nil {
		return File{}, false, fmt.Errorf("reading the servers in %s: %w", path, err)
	}
	return f, st.Mode().Perm()&0o077 != 0, nil
}

// Update changes the file by do. Others that do so at the same time wait. If do fails, nothing changes.
func Update(ctx context.Context, path string, do func(*File) error) error {
	disk := durable.Disk{}
	if err := disk.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("saving the servers: %w", err)
	}
	unlock, err := disk.Lock(ctx, path+".lock")
	if err != nil {
		return fmt.Errorf("saving the servers: %w", err)
	}
	defer unlock()
	f, _, err := Load(path)
	if err != nil {
		return err
	}
	if f.Servers == nil {
		f.Servers = map[string]Server{}
	}
	if err := do(&f); err != nil {
		return err
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		_, err = Parse(b)
	}
	if err == nil {
		err = disk.Replace(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("saving the servers in %s: %w", path, err)
	}
	return nil
}

// Names lists the names of the servers, sorted.
func (f File) Names() []string { return slices.Sorted(maps.Keys(f.Servers)) }

// At returns the name of the server with this URL, the current one before others, and "" for none.
func (f File) At(base string) string {
	clean, err := CleanURL(base)
	if err != nil {
		return ""
	}
	for _, name := range append([]string{f.Current}, f.Names()...) {
		if f.Servers[name].URL == clean {
			return name
		}
	}
	return ""
}
