package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Stream prints values as they come: lines for people, and for programs one JSON value a line, YAML documents, or CSV
// lines with the names of the first value's.
type Stream struct {
	Env *Env

	names []string
}

// Print writes one value; line is what people see of it.
func (s *Stream) Print(v any, line string) error {
	if err := s.print(v, line); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

func (s *Stream) print(v any, line string) error {
	w := s.Env.Stdout
	switch s.Env.Out.format {
	case JSON:
		return json.NewEncoder(w).Encode(v)
	case YAML:
		if _, err := io.WriteString(w, "---\n"); err != nil {
			return err
		}
		return writeYAML(w, v)
	case CSV:
		return s.csv(w, v)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func (s *Stream) csv(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	names := s.names
	values, err := fields(b, &names)
	if err != nil {
		return err
	}
	out := csv.NewWriter(w)
	if s.names == nil {
		s.names = names
		_ = out.Write(names) // Flush and Error say it
	}
	var row []string
	for _, n := range s.names {
		row = append(row, values[n])
	}
	_ = out.Write(row)
	out.Flush()
	return out.Error()
}

// Live is a line on a terminal that is drawn again and again. On anything else it draws nothing.
type Live struct {
	w     io.Writer
	width int // of what is drawn, in characters
}

// NewLive makes a Live of w.
func NewLive(w io.Writer) *Live {
	if !IsTerminal(w) {
		return &Live{}
	}
	return &Live{w: w}
}

// On says whether lines are drawn.
func (l *Live) On() bool { return l.w != nil }

// Draw replaces the line.
func (l *Live) Draw(line string) {
	if l.w == nil {
		return
	}
	width := utf8.RuneCountInString(line)
	fmt.Fprintf(l.w, "\r%s%s", line, strings.Repeat(" ", max(0, l.width-width)))
	l.width = width
}

// Clear removes the line, so that others can be written in its place.
func (l *Live) Clear() {
	if l.w != nil && l.width > 0 {
		fmt.Fprintf(l.w, "\r%s\r", strings.Repeat(" ", l.width))
		l.width = 0
	}
}

// Bar draws a share, from 0 to 1, in a fixed width.
func Bar(share float64) string {
	const width = 20
	full := int(min(max(share, 0), 1) * width)
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "]"
}
