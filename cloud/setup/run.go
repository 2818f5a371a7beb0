package setup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"griddle/imagestore/durable"
)

// Asker answers questions.
type Asker interface {
	// Ask returns the answer to q. why is the error of the answer before, or nil. An error of Ask ends the interview.
	Ask(ctx context.Context, q Question, why error) (string, error)
}

// Options is what Run needs.
type Options struct {
	Path    string            // of the stack file; the directory must be there
	Found   []Found           // by Find
	Offers  Offers            // may be empty
	Answers map[string]string // by ParseAnswers; what it has is not asked
	Ask     Asker             // nil: a missing answer takes its default, or is an error
	Disk    durable.Disk
}

// Run writes a stack file if Path does not exist. If it does, whatever it is, made is false, nothing is asked and
// nothing changes. A file that appears meanwhile is left alone, and is an fs.ErrExist.
func Run(ctx context.Context, o Options) (made bool, err error) {
	if _, err := os.Lstat(o.Path); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("looking for the stack file: %w", err)
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return false, fmt.Errorf("looking for the stack file: %w", err)
	}
	v := NewInterview(filepath.Base(filepath.Dir(path)), o.Found, o.Offers)
	if err := answer(ctx, v, o); err != nil {
		return false, err
	}
	b, err := v.File()
	if err != nil {
		return false, err
	}
	if err := o.Disk.Create(o.Path, b, 0o600); err != nil {
		return false, fmt.Errorf("writing the stack file: %w", err)
	}
	return true, nil
}

func answer(ctx context.Context, v *Interview, o Options) error {
	asked := []string{}
	var why error
	for {
		q, ok := v.Next()
		if !ok {
			break
		}
		s, given := o.Answers[q.Key]
		asked = append(asked, q.Key)
		if !given && o.Ask != nil {
			var err error
			if s, err = o.Ask.Ask(ctx, q, why); err != nil {
				return err
			}
		}
		if why = v.Answer(s); why != nil && (given || o.Ask == nil) {
			return why // nobody would answer better
		}
	}
	for _, k := range keys() {
		if _, given := o.Answers[k]; given && !slices.Contains(asked, k) {
			return fmt.Errorf("answering %s: this provider does not need it", k)
		}
	}
	return nil
}

// mostChoices is how many choices Prompt shows: EC2 has hundreds of sizes.
const mostChoices = 40

// Prompt asks a person at a terminal, line by line.
type Prompt struct {
	In  *bufio.Reader
	Out io.Writer
}

// Ask implements Asker. The end of the input is an io.ErrUnexpectedEOF.
func (p Prompt) Ask(ctx context.Context, q Question, why error) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if why != nil {
		fmt.Fprintf(p.Out, "%v\n", why)
	} else {
		fmt.Fprintf(p.Out, "%s\n", q.Text)
		shown := q.Choices[:min(len(q.Choices), mostChoices)]
		for i, c := range shown {
			fmt.Fprintf(p.Out, "  %2d  %-20s %s\n", i+1, c.Name, c.Note)
		}
		if n := len(q.Choices) - len(shown); n > 0 {
			fmt.Fprintf(p.Out, "  and %d more; type a name\n", n)
		}
		if q.Why != nil {
			fmt.Fprintf(p.Out, "  (listing them failed, type a name: %v)\n", q.Why)
		}
	}
	if q.Default != "" {
		fmt.Fprintf(p.Out, "[%s] ", q.Default)
	}
	fmt.Fprint(p.Out, "> ")
	line, err := p.In.ReadString('\n')
	if errors.Is(err, io.EOF) && line == "" {
		return "", fmt.Errorf("asking for %s: %w", q.Key, io.ErrUnexpectedEOF)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("asking for %s: %w", q.Key, err)
	}
	return line, nil
}
