package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"griddle/appliance/e2e/machinetest"

	"github.com/hinshun/vt10x"
)

// Keys as a terminal sends them.
const (
	KeyUp     = "\x1b[A"
	KeyDown   = "\x1b[B"
	KeyRight  = "\x1b[C"
	KeyLeft   = "\x1b[D"
	KeyEnter  = "\r"
	KeyEscape = "\x1b"
	KeyTab    = "\t"
)

// screenColumns and screenRows are the size of a serial terminal, as the agent assumes it.
const screenColumns, screenRows = 80, 24

// Console is a machine's serial line with a terminal of 80 columns and 24 rows at its other end. The terminal answers
// what the machine asks it (cursor position, device attributes), as a person's would.
type Console struct {
	*machinetest.Transcript // everything, for lines that scroll by

	conn   net.Conn
	log    *os.File
	screen vt10x.Terminal

	mu      sync.Mutex
	also    io.Writer     // who watches, see Attach
	changed chan struct{} // closed when the screen changes
}

// openConsole takes the serial line that comes over conn, and copies it to a log file.
func openConsole(name string, conn net.Conn, logfile string) (*Console, error) {
	log, err := os.OpenFile(logfile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the console of %s: %w", name, err)
	}
	c := &Console{Transcript: machinetest.NewTranscript(name), conn: conn, log: log, changed: make(chan struct{})}
	c.screen = vt10x.New(vt10x.WithSize(screenColumns, screenRows), vt10x.WithWriter(conn))
	go c.pump()
	return c, nil
}

// pump carries bytes from the machine until its end of the line is gone.
func (c *Console) pump() {
	defer c.log.Close()
	buf, have := make([]byte, 4096), 0
	for {
		n, err := c.conn.Read(buf[have:])
		if err != nil {
			c.Transcript.End(fmt.Errorf("the machine is off: %w", err))
		}
		fresh := buf[have : have+n]
		_, _ = c.log.Write(fresh)
		_, _ = c.Transcript.Write(fresh)
		have += n
		whole := wholeRunes(buf[:have])
		c.mu.Lock()
		_, _ = c.screen.Write(buf[:whole])
		if c.also != nil {
			_, _ = c.also.Write(fresh)
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		have = copy(buf, buf[whole:have])
		if err != nil {
			return
		}
	}
}

// wholeRunes is the length of b without a rune whose last bytes have not come yet.
func wholeRunes(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if last := b[len(b)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

// Send types on the console.
func (c *Console) Send(keys string) error {
	if _, err := io.WriteString(c.conn, keys); err != nil {
		return fmt.Errorf("typing on the console: %w", err)
	}
	return nil
}

// Screen is what the terminal shows: 24 lines without the space at their ends.
func (c *Console) Screen() string {
	c.screen.Lock()
	defer c.screen.Unlock()
	var b strings.Builder
	for y := range screenRows {
		var line strings.Builder
		for x := range screenColumns {
			r := c.screen.Cell(x, y).Char
			if r == 0 {
				r = ' '
			}
			line.WriteRune(r)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// WaitScreen waits until the screen matches every one of the regular expressions, and returns it.
func (c *Console) WaitScreen(ctx context.Context, patterns ...string) (string, error) {
	var all []*regexp.Regexp
	for _, p := range patterns {
		all = append(all, regexp.MustCompile(p))
	}
	return c.WaitScreenFunc(ctx, fmt.Sprintf("%q", patterns), func(screen string) bool {
		return !slices.ContainsFunc(all, func(re *regexp.Regexp) bool { return !re.MatchString(screen) })
	})
}

// WaitScreenFunc waits until ok accepts the screen, and returns it. What names what is waited for.
func (c *Console) WaitScreenFunc(ctx context.Context, what string, ok func(screen string) bool) (string, error) {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		screen := c.Screen()
		if ok(screen) {
			return screen, nil
		}
		if ended := c.Transcript.Ended(); ended != nil {
			return screen, fmt.Errorf("waiting for %s on the screen of %s: %w; it showed last:\n%s", what,
				c.Name, ended, screen)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return screen, fmt.Errorf("waiting for %s on the screen of %s: %w; it shows:\n%s", what,
				c.Name, ctx.Err(), screen)
		}
	}
}

// Attach copies everything that the machine sends to w too, from now on; nil ends it.
func (c *Console) Attach(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.also = w
}
