// Results adds a run to docs/RESULTS.md: the date, the commit, the computer, and the lines with figures or verdicts.
//
//	go test -v … | results 'make bench'                        reads what a test or benchmark prints, and copies it
//	results -suite [-depth N] 'make e2e' GO-TEST-ARGS -- PACKAGES   runs a long suite itself
//
// A long suite resumes where an earlier run of the same commit ended: a test that passed does not run again, and the
// result is written when all have passed. Subtests count separately down to depth N. If the tree differs from its
// commit, nothing is kept.
//
// A figure is a line with "figure: " in it, or a benchmark line of go test. Passed tests are counted for each package,
// failed tests are listed.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const file = "docs/RESULTS.md"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	long := flag.Bool("suite", false, "run the tests that have not passed yet at this commit")
	depth := flag.Int("depth", 1, "with -suite: the depth to which subtests count separately")
	flag.Parse()
	args := flag.Args()
	var err error
	switch split := slices.Index(args, "--"); {
	case *long && split > 0 && split+1 < len(args):
		err = continued(ctx, args[0], *depth, args[1:split], args[split+1:])
	case !*long && len(args) == 1:
		err = run(args[0], os.Stdin, os.Stdout)
	default:
		fmt.Fprintln(os.Stderr,
			"usage: results COMMAND <OUTPUT, or results -suite [-depth N] COMMAND GO-TEST-ARGS -- PACKAGES")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "results: %v\n", err)
		os.Exit(1)
	}
}

func run(command string, in io.Reader, out io.Writer) error {
	lines, err := figures(in, out)
	if err != nil {
		return err
	}
	return record(command, lines)
}

// continued runs a suite, and writes its result down when all of it has passed.
func continued(ctx context.Context, command string, depth int, args, patterns []string) error {
	packages, err := packagesOf(ctx, args, patterns)
	if err != nil {
		return err
	}
	kept, err := load(command, commit())
	if err != nil {
		return err
	}
	s := &suite{command: command, depth: depth, args: args, out: os.Stdout, kept: kept}
	if err := s.run(ctx, packages); err != nil {
		return err
	}
	return errors.Join(record(command, kept.Lines), kept.done())
}

func record(command string, lines []string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	defer f.Close()
	fmt.Fprintf(f, "\n## %s: `%s` at %s, %s\n\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), command,
		commit(), computer())
	for _, l := range lines {
		fmt.Fprintf(f, "    %s\n", l)
	}
	return f.Close()
}

var (
	figure  = regexp.MustCompile(`figure: (.*)`)
	verdict = regexp.MustCompile(`^\s*(--- FAIL.*|(FAIL|ok)\b.*|Benchmark\S+\s+\d+\s.*)`)
)

// figures copies in to out and keeps what a reader of the results wants.
func figures(in io.Reader, out io.Writer) ([]string, error) {
	var kept progress
	s := bufio.NewScanner(in)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		fmt.Fprintln(out, s.Text())
		kept.note(s.Text())
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading the run's output: %w", err)
	}
	return kept.Lines, nil
}

// commit is the one that is checked out, with a mark where files other than those that a run writes differ from it; ""
// without git.
func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return ""
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--", ":/", ":!/"+file).Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(out)) + "-dirty"
	}
	return strings.TrimSpace(string(out))
}

// computer is the processor's model and number.
func computer() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(b); m != nil {
			model = string(m[1])
		}
	}
	return fmt.Sprintf("%d x %s", runtime.NumCPU(), model)
}
