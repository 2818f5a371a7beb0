package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"griddle/appliance/console"
	"griddle/appliance/job"
)

// silence is after how long a stream that sends nothing counts as cut: the server sends something every 10 seconds.
const silence = 3 * beat

// maxEvent bounds a line of a stream, in bytes. The largest frame has about a third of it.
const maxEvent = 2 << 20

// WatchConsole calls do for each thing that is new of the screen of a machine, on a terminal of this size, until ctx
// ends, do returns an error, or the connection is lost: then the error says so. It returns nil after some minutes.
// Another call begins with a whole frame.
func (c *Client) WatchConsole(ctx context.Context, key string, columns, rows int, do func(console.News) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	path := fmt.Sprintf("/v1/machines/%s/console?columns=%d&rows=%d", url.PathEscape(key), columns, rows)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	cut := time.AfterFunc(silence, func() { cancel(errors.New("the server sends nothing")) })
	defer cut.Stop()
	res, err := (&http.Client{Transport: c.http.Transport, CheckRedirect: c.http.CheckRedirect}).Do(req)
	if err != nil {
		return fmt.Errorf("asking the server: %w", because(ctx, err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		reply, err := io.ReadAll(io.LimitReader(res.Body, maxEvent))
		if err != nil {
			return fmt.Errorf("reading the server's answer: %w", because(ctx, err))
		}
		return job.ReadProblem(res.StatusCode, reply)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	name := ""
	for lines.Scan() {
		cut.Reset(silence)
		kind, value, _ := strings.Cut(lines.Text(), ": ")
		switch kind {
		case "event":
			name = value
		case "data":
			n, err := newsOf(name, value)
			if err == nil && n != (console.News{}) {
				err = do(n)
			}
			if err != nil {
				return err
			}
		}
	}
	err = lines.Err()
	if err == nil && ctx.Err() == nil {
		return nil // the server has it begin again
	}
	return fmt.Errorf("watching the screen: %w", because(ctx, err))
}

// because is why ctx ended, else err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// newsOf reads an event; nothing comes of one with another name.
func newsOf(name, data string) (n console.News, err error) {
	switch name {
	case eventStatus:
		n.Status = &console.Status{}
		err = json.Unmarshal([]byte(data), n.Status)
	case eventFrame:
		var f job.ScreenFrame
		if err = json.Unmarshal([]byte(data), &f); err == nil {
			f, err = f.Bounded()
		}
		n.Frame = &f
	}
	if err != nil {
		return console.News{}, fmt.Errorf("reading the server's answer: %w", err)
	}
	return n, nil
}

// TypeConsole gives keys to the screen of a machine.
func (c *Client) TypeConsole(ctx context.Context, key string, in Typed) error {
	return c.call(ctx, http.MethodPost, "/v1/machines/"+url.PathEscape(key)+"/console/keys", in, nil)
}
