package upkeep

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// errHelp ends a command that only showed its help.
var errHelp = errors.New("help")

// line is a command line: options anywhere, and at most one word beside them.
type line struct {
	*flag.FlagSet
	help string
	word string
}

func newLine(name, help string) *line {
	l := &line{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), help: help}
	l.SetOutput(io.Discard)
	return l
}

// read reads the arguments; words says how many there may be beside options, 0 or 1.
func (l *line) read(out io.Writer, args []string, words int) error {
	n := 0
	for {
		err := l.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, l.help)
			return errHelp
		}
		if err != nil {
			return usage("%v\n\n%s", err, l.help)
		}
		if args = l.Args(); len(args) == 0 {
			return nil
		}
		if n++; n > words {
			return usage("griddle-agent %s takes no %q\n\n%s", l.Name(), args[0], l.help)
		}
		l.word, args = args[0], args[1:]
	}
}
