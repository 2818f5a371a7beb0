package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
)

// build is what the Go tool recorded of this program: the result of `griddle version`.
type build struct {
	Version  string `json:"version"`            // for people
	Revision string `json:"revision,omitempty"` // the commit
	Time     string `json:"time,omitempty"`     // of the commit
	Changed  bool   `json:"changed,omitempty"`  // files differed from the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Changed = s.Value == "true"
		}
	}
	if b.Revision == "" {
		b.Version = info.Main.Version
		return b
	}
	b.Version = b.Revision[:min(12, len(b.Revision))]
	if b.Time != "" {
		b.Version += " of " + b.Time
	}
	if b.Changed {
		b.Version += ", with changes"
	}
	return b
}

func versionCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  griddle version\n  griddle version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			return e.Printf(b, "griddle %s", b.Version)
		},
	}
}
