// Results adds a run to docs/RESULTS.md: results COMMAND reads what a test or benchmark prints, passes it on, and writes
// down the date, the commit, the computer, and the lines that hold figures or verdicts.
//
//	go test -v … | go run ./appliance/e2e/results 'make e2e'
//
// A figure is a line with "figure: " in it, or one of go test's own benchmark lines. What passed is told by the package, what failed test by test.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"
)

const file = "docs/RESULTS.md"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: results COMMAND <OUTPUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "results: %v\n", err)
		os.Exit(1)
	}
}

func run(command string, in io.Reader, out io.Writer) error {
	lines, err := figures(in, out)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	defer f.Close()
	fmt.Fprintf(f, "\n## %s: `%s` at %s, %s\n\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), command, commit(), computer())
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
	var kept []string
	s := bufio.NewScanner(in)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		fmt.Fprintln(out, s.Text())
		if m := figure.FindStringSubmatch(s.Text()); m != nil {
			kept = append(kept, m[1])
		} else if verdict.MatchString(s.Text()) {
			kept = append(kept, strings.TrimRight(s.Text(), " "))
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading the run's output: %w", err)
	}
	return kept, nil
}

// commit is the one that is checked out, with a mark where files differ from it.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "no commit"
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
