package qemu

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// monitor is one connection to QEMU's monitor protocol (docs/interop/qmp-spec.rst of QEMU): JSON values, one a line.
// QEMU greets, takes qmp_capabilities, and then answers each command once, with events in between. It serves one
// connection at a time; the next one waits for its greeting.
type monitor struct {
	conn net.Conn
	in   *bufio.Reader
	next int
}

// mostReply is the most bytes of one line: what a process that a hostile guest has taken over can make us keep.
const mostReply = 4 << 20

// answers is how long QEMU may take for one command.
const answers = 30 * time.Second

// reply is one line from QEMU.
type reply struct {
	QMP    json.RawMessage `json:"QMP"`
	Event  string          `json:"event"`
	ID     *int            `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *qmpError       `json:"error"`
}

// qmpError is a command that QEMU refused.
type qmpError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *qmpError) Error() string { return e.Desc }

// parseReply reads a line: exactly one of greeting, event, return value and error.
func parseReply(line []byte) (reply, error) {
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return reply{}, fmt.Errorf("reading QEMU's answer: %w", err)
	}
	n := 0
	for _, is := range []bool{r.QMP != nil, r.Event != "", r.Return != nil, r.Error != nil} {
		if is {
			n++
		}
	}
	if n != 1 {
		return reply{}, fmt.Errorf("reading QEMU's answer: %.80q is not one", line)
	}
	return r, nil
}

// openMonitor waits for the greeting on conn.
func openMonitor(ctx context.Context, conn net.Conn) (*monitor, error) {
	m := &monitor{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	r, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	if r.QMP == nil {
		return nil, errors.New("reading QEMU's answer: it did not greet")
	}
	if _, err := m.do(ctx, "qmp_capabilities", nil); err != nil {
		return nil, err
	}
	return m, nil
}

// read reads the next line.
func (m *monitor) read(ctx context.Context) (reply, error) {
	deadline := time.Now().Add(answers)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	m.conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { m.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var line []byte
	for {
		part, err := m.in.ReadSlice('\n')
		if len(line)+len(part) > mostReply {
			return reply{}, fmt.Errorf("reading QEMU's answer: it has more than %d bytes", mostReply)
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return reply{}, fmt.Errorf("waiting for QEMU's answer: %w", err)
		}
		return parseReply(bytes.TrimSpace(line))
	}
}

// do carries out a command, and returns its value.
func (m *monitor) do(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	m.next++
	b, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, arguments, m.next})
	if err != nil {
		return nil, err
	}
	m.conn.SetDeadline(time.Now().Add(answers))
	if _, err := m.conn.Write(append(b, '\n')); err != nil {
		return nil, fmt.Errorf("asking QEMU for %s: %w", command, err)
	}
	for {
		r, err := m.read(ctx)
		switch {
		case err != nil:
			return nil, fmt.Errorf("asking QEMU for %s: %w", command, err)
		case r.Event != "" || r.ID == nil || *r.ID != m.next:
			continue
		case r.Error != nil:
			return nil, fmt.Errorf("asking QEMU for %s: %w", command, r.Error)
		}
		return r.Return, nil
	}
}

// human carries out a command of the monitor that is for people: what has no other form. Its answer is text,
// also where it failed.
func (m *monitor) human(ctx context.Context, line string) (string, error) {
	b, err := m.do(ctx, "human-monitor-command", map[string]string{"command-line": line})
	if err != nil {
		return "", err
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return "", fmt.Errorf("asking QEMU for %s: %w", line, err)
	}
	return s, nil
}

// status is the run state: running, paused, io-error, shutdown and so on (RunState of QEMU's qapi/run-state.json).
func (m *monitor) status(ctx context.Context) (string, error) {
	b, err := m.do(ctx, "query-status", nil)
	if err != nil {
		return "", err
	}
	var s struct{ Status string }
	if err := json.Unmarshal(b, &s); err != nil {
		return "", fmt.Errorf("asking QEMU for its state: %w", err)
	}
	return s.Status, nil
}

func (m *monitor) close() { m.conn.Close() }
