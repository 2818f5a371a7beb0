// Package qmp asks a running QEMU by its machine protocol.
//
// Open takes a connection to QEMU's socket, and Client.Do carries out one command. Client.Follow also reads the events
// that come between commands.
//
// What is read and written is JSON values, one a line:
//
//	QEMU   {"QMP": {"version": ...}}                        the greeting, once
//	Client {"execute": COMMAND, "arguments": {...}, "id": N}
//	QEMU   {"return": VALUE, "id": N}                       or {"error": {"class": ..., "desc": ...}, "id": N}
//	QEMU   {"event": NAME, ...}                             at any time
//
// A line has at most 4 MiB, since a guest that has taken over QEMU can send anything. QEMU serves one connection at a
// time; the next one waits for its greeting. Any number of goroutines may use a Client.
//
// Source: docs/interop/qmp-spec.rst of QEMU.
package qmp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Client is one connection to QEMU.
type Client struct {
	conn net.Conn
	in   *bufio.Reader

	mu      sync.Mutex // one command at a time
	next    int
	replies chan reply // from Follow; nil without it
}

// mostReply is the most bytes of one line: what a process that a hostile guest has taken over can make us keep.
const mostReply = 4 << 20

// Timeout is how long QEMU may take for one command.
const Timeout = 30 * time.Second

// reply is one line from QEMU.
type reply struct {
	QMP    json.RawMessage `json:"QMP"`
	Event  string          `json:"event"`
	ID     *int            `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *Error          `json:"error"`
}

// Error is the error of a command that QEMU refused.
type Error struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *Error) Error() string { return e.Desc }

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

// Open waits for the greeting on conn, and makes QEMU ready for commands. The caller closes conn where that fails.
func Open(ctx context.Context, conn net.Conn) (*Client, error) {
	c := &Client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	r, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	if r.QMP == nil {
		return nil, errors.New("reading QEMU's answer: it did not greet")
	}
	if _, err := c.Do(ctx, "qmp_capabilities", nil); err != nil {
		return nil, err
	}
	return c, nil
}

// read reads the next line.
func (c *Client) read(ctx context.Context) (reply, error) {
	deadline := time.Now().Add(Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	c.conn.SetReadDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := c.line()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("waiting for QEMU's answer: %w", ctx.Err())
	}
	return r, err
}

// line reads the next line, however long it takes.
func (c *Client) line() (reply, error) {
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		if len(line)+len(part) > mostReply {
			return reply{}, fmt.Errorf("reading QEMU's answer: it has more than %d bytes", mostReply)
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return reply{}, fmt.Errorf("waiting for QEMU's answer: %w", err)
		}
		return parseReply(bytes.TrimSpace(line))
	}
}

// Do carries out a command within 30 seconds and returns its value. The error is an *Error where QEMU refuses it. After
// Follow, ctx alone says how long it takes.
func (c *Client) Do(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	b, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, arguments, c.next})
	if err != nil {
		return nil, err
	}
	c.conn.SetWriteDeadline(time.Now().Add(Timeout))
	if _, err := c.conn.Write(append(b, '\n')); err != nil {
		return nil, fmt.Errorf("asking QEMU for %s: %w", command, err)
	}
	for {
		r, err := c.answer(ctx)
		switch {
		case err != nil:
			return nil, fmt.Errorf("asking QEMU for %s: %w", command, err)
		case r.Event != "" || r.ID == nil || *r.ID != c.next:
			continue
		case r.Error != nil:
			return nil, fmt.Errorf("asking QEMU for %s: %w", command, r.Error)
		}
		return r.Return, nil
	}
}

// answer is the next line, whoever reads it.
func (c *Client) answer(ctx context.Context) (reply, error) {
	if c.replies == nil {
		return c.read(ctx)
	}
	select {
	case r, ok := <-c.replies:
		if !ok {
			return reply{}, errors.New("the connection has ended")
		}
		return r, nil
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// Follow reads in the background until the connection ends: event gets the name of each event, such as RESET, and end
// is called last, with why. Call it once, before other goroutines use the Client.
func (c *Client) Follow(event func(name string), end func(error)) {
	c.replies = make(chan reply, 1)
	c.conn.SetReadDeadline(time.Time{})
	go func() {
		for {
			r, err := c.line()
			switch {
			case err != nil:
				close(c.replies)
				end(err)
				return
			case r.Event != "":
				event(r.Event)
			default:
				c.offer(r)
			}
		}
	}()
}

// offer keeps r for Do, in place of an older reply that no one waits for any more.
func (c *Client) offer(r reply) {
	select {
	case <-c.replies:
	default:
	}
	c.replies <- r
}

// Human carries out a command of the monitor that is for people: what has no other form. Its answer is text,
// also where it failed.
func (c *Client) Human(ctx context.Context, line string) (string, error) {
	b, err := c.Do(ctx, "human-monitor-command", map[string]string{"command-line": line})
	if err != nil {
		return "", err
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return "", fmt.Errorf("asking QEMU for %s: %w", line, err)
	}
	return s, nil
}

// Status is the run state: running, paused, io-error, shutdown and so on (RunState of QEMU's qapi/run-state.json).
func (c *Client) Status(ctx context.Context) (string, error) {
	b, err := c.Do(ctx, "query-status", nil)
	if err != nil {
		return "", err
	}
	var s struct{ Status string }
	if err := json.Unmarshal(b, &s); err != nil {
		return "", fmt.Errorf("asking QEMU for its state: %w", err)
	}
	return s.Status, nil
}

// Close ends the connection.
func (c *Client) Close() { c.conn.Close() }
