package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"griddle/appliance/remotes"
	"griddle/imagestore/head"
)

// PublisherPath is the file of the publisher's key, where path does not name one.
func PublisherPath(e *Env, path string) (string, error) {
	if path != "" {
		return path, nil
	}
	dir, err := HomeDir(e, "XDG_CONFIG_HOME", ".config")
	if err != nil {
		return "", err
	}
	if dir == "" {
		return "", Usagef("neither HOME nor a file's name says where the publisher's key is")
	}
	return filepath.Join(dir, "griddle", "publisher.key"), nil
}

// HomeDir is a directory of the XDG base directory specification: what the variable says, else the one below HOME,
// else "".
func HomeDir(e *Env, variable, below string) (string, error) {
	if dir := e.Getenv(variable); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", Usagef("%s is %q, which is not an absolute path", variable, dir)
		}
		return dir, nil
	}
	if home := e.Getenv("HOME"); home != "" {
		return filepath.Join(home, below), nil
	}
	return "", nil
}

// RemotesPath is the file with the servers that the user knows; "" where there is no home directory.
func (e *Env) RemotesPath() (string, error) {
	dir, err := HomeDir(e, "XDG_CONFIG_HOME", ".config")
	if err != nil || dir == "" {
		return "", err
	}
	return filepath.Join(dir, "griddle", "remotes.json"), nil
}

// Remotes reads the servers that the user knows, and warns where others can read their tokens.
func (e *Env) Remotes() (remotes.File, error) {
	path, err := e.RemotesPath()
	if err != nil || path == "" {
		return remotes.File{}, err
	}
	f, exposed, err := remotes.Load(path)
	if exposed {
		e.Warn(fmt.Sprintf("other users can read the tokens in %s; `chmod 600 %s` keeps them out", path, path))
	}
	return f, err
}

// CompleteRemotes completes the name of one of them.
func (e *Env) CompleteRemotes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	f, err := e.Remotes()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return append(f.Names(), remotes.Local), cobra.ShellCompDirectiveNoFileComp
}

// ReadSmall reads a file of at most 64 KiB.
func ReadSmall(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > 64<<10 {
		return nil, fmt.Errorf("%s has %d bytes, which is too much for it", path, st.Size())
	}
	return os.ReadFile(path)
}

// SeenDir is where the user's commands remember sites' catalogs; nil where there is no home directory.
func SeenDir(e *Env) (*head.SeenDir, error) {
	state, err := HomeDir(e, "XDG_STATE_HOME", filepath.Join(".local", "state"))
	if err != nil || state == "" {
		return nil, err
	}
	return head.OpenSeenDir(filepath.Join(state, "griddle", "seen")), nil
}

// SpoolDir is where copies of what is published lie meanwhile; "" for the default.
func SpoolDir(e *Env) string {
	if tmp := e.Getenv("TMPDIR"); tmp != "" {
		return filepath.Join(tmp, "griddle-spool")
	}
	return ""
}
