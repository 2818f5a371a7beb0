package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// progress is how far a suite has come at one commit. It lies outside the tree, in the user's cache.
type progress struct {
	Version  int                 `json:"version"`  // 1
	Packages []string            `json:"packages"` // that passed
	Tests    map[string][]string `json:"tests"`    // that passed, by package
	Lines    []string            `json:"lines"`    // for docs/RESULTS.md

	file string // "" keeps nothing: the tree differs from its commit
}

// load reads the progress of command at commit. Where files differ from the commit, nothing is
// known and nothing is kept.
func load(command, commit string) (*progress, error) {
	p := &progress{Version: 1, Tests: map[string][]string{}}
	if commit == "" || strings.HasSuffix(commit, "-dirty") {
		return p, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the cache: %w", err)
	}
	p.file = filepath.Join(cache, "griddle",
		"progress", strings.NewReplacer(" ", "-", "/", "_").Replace(command)+"-"+commit+".json")
	b, err := os.ReadFile(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	} else if err != nil {
		return nil, err
	}
	was := progress{Tests: map[string][]string{}}
	if err := json.Unmarshal(b, &was); err != nil || was.Version != 1 {
		return p, nil // another program's, or torn by a crash: begin again
	}
	was.file = p.file
	was.Lines = slices.DeleteFunc(was.Lines, failure.MatchString)
	return &was, nil
}

// failure is a verdict that a later run takes back.
var failure = regexp.MustCompile(`^\s*(--- )?FAIL`)

// save replaces the file by rename: a run that is killed leaves the old one or the new one.
func (p *progress) save() error {
	if p.file == "" {
		return nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.file), 0o755); err != nil {
		return fmt.Errorf("keeping the progress: %w", err)
	}
	if err := os.WriteFile(p.file+".new", b, 0o644); err != nil {
		return fmt.Errorf("keeping the progress: %w", err)
	}
	return os.Rename(p.file+".new", p.file)
}

// done forgets the progress: the next run begins again.
func (p *progress) done() error {
	if p.file == "" {
		return nil
	}
	if err := os.Remove(p.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// note keeps a line of output if the results want it.
func (p *progress) note(line string) {
	line = strings.TrimRight(line, "\n")
	if m := figure.FindStringSubmatch(line); m != nil {
		p.Lines = append(p.Lines, m[1])
	} else if verdict.MatchString(line) {
		p.Lines = append(p.Lines, strings.TrimRight(line, " "))
	}
}
