package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"griddle/imagestore"
)

func imageReceiveCommand(e *env) *cobra.Command {
	var store storeFlags
	var out outputFlag
	var o imagestore.ReceiveOptions
	c := &cobra.Command{
		Use:   "receive IMAGE DIR",
		Short: "Make an image's tree below a directory",
		Long: "Make an image's tree below DIR, and print its path. On btrfs it becomes a read-only subvolume, on any other\n" +
			"filesystem a directory. It gets its name only when the whole tree was compared with the image's signed content.",
		Example: "  griddle image receive web:latest /srv/images",
		Args:    cobra.ExactArgs(2),
	}
	store.add(c)
	out.add(c)
	c.Flags().StringVar(&o.Name, "name", "", "`NAME` of the tree in DIR (default: the image's, such as web@20261120.1@amd64)")
	c.Flags().BoolVar(&o.Plain, "plain", false, "make an ordinary directory on btrfs, too")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		if o.Name != "" && (o.Name != filepath.Base(o.Name) || o.Name == "." || o.Name == "..") {
			return usagef("%q cannot be the name of the tree", o.Name)
		}
		st, err := openStore(e, store, false)
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(args[1])
		if err != nil {
			return err
		}
		done := func() {}
		if !out.json() {
			o.Progress, done = phases(e)
		}
		r, err := st.Receive(c.Context(), ref, dir, o)
		done()
		if err != nil {
			return asRoot(err, whyTree)
		}
		if out.json() {
			return writeJSON(e.stdout, r)
		}
		_, err = fmt.Fprintln(e.stdout, r.Path)
		return err
	}
	return c
}

// phases shows a bar for each phase of some work. done ends the last one.
func phases(e *env) (progressed func(phase string, done, total int64), done func()) {
	var bar *progress
	var now string
	progressed = func(phase string, done, total int64) {
		if phase != now {
			bar.end()
			bar, now = newProgress(e.stderr, phase), phase
		}
		bar.update(done, total)
	}
	return progressed, func() { bar.end() }
}
