package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"griddle/appliance/api"
	"griddle/appliance/console"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/tui/remote"
)

func (m *machines) consoleCommand() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "console MACHINE",
		Short: "Show the screen of a machine, and type at it",
		Long: "Show the screen of the agent on a machine that started from the network, live, and pass on the keys\n" +
			"that you press. Ctrl-] ends it. The screen appears when the machine has called the server: within\n" +
			"about ten seconds.\n\n" +
			"The machine never shows here what is typed into masked fields, and no code of an approval: someone has\n" +
			"to read that at the machine. A shell opens only at the machine itself. The journal of the machine says\n" +
			"who watched and typed, and not what.",
		Example: "  griddle machine console node7\n  griddle machine console node7 --watch",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			return m.console(ctx, client, args[0], watch)
		}),
	}
	c.Flags().BoolVar(&watch, "watch", false, "only show the screen; pass no keys on")
	return c
}

// statusRows are the lines below the screen.
const statusRows = 1

// Times of the command.
const (
	gather     = 100 * time.Millisecond // in which keys are sent together
	retryWatch = 2 * time.Second
)

// console shows the screen of the machine that key names until the operator or ctx ends it.
func (m *machines) console(ctx context.Context, client *api.Client, key string, watch bool) error {
	in, isFile := m.e.Stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) || !cli.IsTerminal(m.e.Stdout) {
		return errors.New("showing the screen of a machine: this needs a terminal; `griddle machine log` has what " +
			"happened")
	}
	got, err := client.Machine(ctx, key) // a wrong name is said before the terminal changes
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys := make(chan job.ScreenKey, job.MaxScreenKeys)
	view := seenScreen{name: got.Name, columns: job.ScreenColumns, rows: job.ScreenRows + statusRows,
		plain: !m.e.Colors(m.e.Stdout)}
	if !watch {
		view.keys = keys
	}
	if columns, rows, err := term.GetSize(int(in.Fd())); err == nil {
		view.columns, view.rows = columns, rows
	}
	p := tea.NewProgram(view, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(m.e.Stdout),
		tea.WithAltScreen(), tea.WithoutSignalHandler())
	go watchScreen(ctx, client, got.ID, view.columns, view.rows-statusRows, p.Send)
	go typeKeys(ctx, client, got.ID, keys, p.Send)
	last, err := p.Run()
	if s, ok := last.(seenScreen); ok && s.refused != nil {
		return s.refused
	}
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// watchScreen gives what is new to send, and connects again when the connection is lost.
func watchScreen(ctx context.Context, client *api.Client, key string, columns, rows int, send func(tea.Msg)) {
	for ctx.Err() == nil {
		err := client.WatchConsole(ctx, key, columns, rows, func(n console.News) error {
			send(n)
			return nil
		})
		if err == nil {
			continue
		}
		var problem *job.Problem
		if errors.As(err, &problem) && !job.Retryable(err) {
			send(refusedScreen{err})
			return
		}
		send(lostScreen{err})
		select {
		case <-ctx.Done():
		case <-time.After(retryWatch):
		}
	}
}

// typeKeys sends keys, those of a short time together.
func typeKeys(ctx context.Context, client *api.Client, key string, keys <-chan job.ScreenKey, send func(tea.Msg)) {
	for {
		var in api.Typed
		select {
		case <-ctx.Done():
			return
		case k := <-keys:
			in.Keys = append(in.Keys, k)
		}
		over := time.NewTimer(gather)
		for more := true; more && len(in.Keys) < job.MaxScreenKeys; {
			select {
			case k := <-keys:
				in.Keys = append(in.Keys, k)
			case <-over.C:
				more = false
			}
		}
		over.Stop()
		if err := client.TypeConsole(ctx, key, in); err != nil && ctx.Err() == nil {
			send(keysLost{err})
		}
	}
}

// Messages of a seenScreen, in addition to console.News.
type (
	lostScreen    struct{ err error } // the connection
	refusedScreen struct{ err error } // for good
	keysLost      struct{ err error }
)

// seenScreen is the screen of a machine in an operator's terminal.
type seenScreen struct {
	name          string
	columns, rows int
	plain         bool
	keys          chan<- job.ScreenKey // nil if none are passed on

	picture job.ScreenPicture
	status  console.Status
	lost    string // the connection is
	notice  string // why the last key had no effect
	refused error
}

// Init implements tea.Model.
func (s seenScreen) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (s seenScreen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.columns, s.rows = msg.Width, msg.Height
	case console.News:
		s = s.news(msg)
	case lostScreen:
		s.lost = "no connection: " + job.Sentence(fmt.Sprint(msg.err))
	case refusedScreen:
		s.refused = msg.err
		return s, tea.Quit
	case keysLost:
		s.notice = "not typed: " + job.Sentence(msg.err.Error())
	case tea.KeyMsg:
		return s.key(msg)
	}
	return s, nil
}

func (s seenScreen) news(n console.News) seenScreen {
	s.lost = ""
	if n.Status != nil {
		s.status = *n.Status
	}
	if n.Frame != nil {
		if next, ok := s.picture.Put(*n.Frame); ok {
			s.picture = next
		}
	}
	return s
}

func (s seenScreen) key(k tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch {
	case k.Type == tea.KeyCtrlCloseBracket:
		return s, tea.Quit
	case k.Type == tea.KeyCtrlL:
		return s, tea.ClearScreen
	case s.keys == nil:
		s.notice = "--watch: no keys are passed on"
		return s, nil
	}
	key, ok := remote.Key(k)
	if !ok {
		s.notice = "the machine takes no key " + job.Printable(k.String()) + "; Ctrl-] ends this"
		return s, nil
	}
	key.Seen = s.picture.Number
	select {
	case s.keys <- key:
		s.notice = ""
	default:
		s.notice = "not typed: the server takes no keys now"
	}
	return s, nil
}

// View implements tea.Model: the screen, and a line of this command below it.
func (s seenScreen) View() string {
	rows := max(0, s.rows-statusRows)
	out := remote.View(s.picture, s.columns, rows, s.plain)
	if s.picture.Number == 0 {
		out = ""
	}
	out += strings.Repeat("\n", max(0, rows-strings.Count(out, "\n")))
	line := job.ScreenPicture{}
	look := job.ScreenReverse
	line, _ = line.Put(job.ScreenFrame{Number: 1, Whole: true, Columns: job.MaxScreenColumns, Rows: 1,
		Lines: []job.ScreenLine{{Runs: []job.ScreenRun{{Text: s.below(), Look: look}}}}})
	return out + remote.View(line, s.columns, 1, s.plain)
}

// below is the line of this command.
func (s seenScreen) below() string {
	parts := []string{" " + s.name}
	switch {
	case s.notice != "":
		parts = append(parts, s.notice)
	case s.lost != "":
		parts = append(parts, s.lost)
	default:
		parts = append(parts, statusText(s.status))
	}
	if s.status.Phase == console.Shown && !s.status.Approved {
		parts = append(parts, "NOT APPROVED: another computer can claim to be this machine")
	}
	return strings.Join(append(parts, "Ctrl-] ends "), " | ")
}

// statusText says whether the screen is shown, and what to do if not.
func statusText(s console.Status) string {
	switch s.Phase {
	case console.Shown:
		return "live"
	case console.Quiet:
		return "the machine is silent: this is what it showed last"
	case console.Old:
		return "its boot image is too old to show its screen: make a new one with `make boot`"
	case console.Approval:
		return "an operator has to approve this boot first, with the code on the machine's own screen"
	}
	return "waiting for the machine: it shows its screen after a start from the network"
}
