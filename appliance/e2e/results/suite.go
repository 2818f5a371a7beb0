package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// suite runs a long suite package by package, and goes on where an earlier run of the same commit ended: a test that
// passed there is not run again. When everything has passed, the figures of all runs are written down as one.
type suite struct {
	command string   // as a person types it, "make e2e"
	depth   int      // how deep subtests count by themselves: 1 means top-level tests
	args    []string // of go test, without packages
	out     io.Writer
	kept    *progress
}

// run tests the packages. An error says which did not pass; what did is kept.
func (s *suite) run(ctx context.Context, packages []string) error {
	var failed []string
	for _, p := range packages {
		if slices.Contains(s.kept.Packages, p) {
			fmt.Fprintf(s.out, "passed before at this commit: %s\n", p)
			continue
		}
		if err := s.test(ctx, p); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", p, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		s.kept.Packages = append(s.kept.Packages, p)
		if err := s.kept.save(); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s did not pass; run the same command again to run only what has not passed:\n%s", s.command,
			strings.Join(failed, "\n"))
	}
	return nil
}

// passed is how a subtest says that it passed, which go test tells only when its parent has ended too.
var passed = regexp.MustCompile(`passed: (Test\S+)\n$`)

// event is a line of go test -json (cmd/test2json).
type event struct {
	Action, Test, Output string
}

func (s *suite) test(ctx context.Context, p string) error {
	args := append([]string{"test", "-json", "-v"}, s.args...)
	if skip := pattern(s.kept.Tests[p]); skip != "" {
		fmt.Fprintf(s.out, "passed before at this commit: %s in %s\n", strings.Join(s.kept.Tests[p], ", "), p)
		args = append(args, "-skip", skip)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, p)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting go test: %w", err)
	}
	read := s.read(p, stdout)
	return errors.Join(read, cmd.Wait())
}

// read passes go test's output on, and keeps each test that passes as soon as it does.
func (s *suite) read(p string, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil { // what the build prints
			fmt.Fprintln(s.out, lines.Text())
			continue
		}
		switch {
		case e.Action == "output", e.Action == "build-output":
			io.WriteString(s.out, e.Output)
			s.kept.note(e.Output)
			if m := passed.FindStringSubmatch(e.Output); m != nil {
				e.Action, e.Test = "pass", m[1]
			}
		}
		if e.Action != "pass" || e.Test == "" || strings.Count(e.Test, "/") >= s.depth ||
			slices.Contains(s.kept.Tests[p], e.Test) {
			continue
		}
		s.kept.Tests[p] = append(s.kept.Tests[p], e.Test)
		if err := s.kept.save(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// pattern is the argument of -skip that leaves out exactly the tests that passed. A test whose subtests passed by
// themselves is not among them before it has passed as a whole.
func pattern(passed []string) string {
	var all []string
	for _, name := range passed {
		parts := strings.Split(name, "/")
		for i, part := range parts {
			parts[i] = "^" + regexp.QuoteMeta(part) + "$"
		}
		all = append(all, strings.Join(parts, "/"))
	}
	return strings.Join(all, "|")
}

// packagesOf lists the packages that patterns name and that have tests under args' build tags.
func packagesOf(ctx context.Context, args, patterns []string) ([]string, error) {
	list := []string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"}
	if i := slices.Index(args, "-tags"); i >= 0 && i+1 < len(args) {
		list = append(list, "-tags", args[i+1])
	}
	out, err := exec.CommandContext(ctx, "go", append(list, patterns...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	return strings.Fields(string(out)), nil
}
