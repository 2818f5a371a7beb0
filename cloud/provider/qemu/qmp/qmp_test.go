package qmp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// serve is a QEMU that greets and writes one answer for each command; %d in it is the number of the command.
func serve(t *testing.T, answers ...string) net.Conn {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	go func() {
		defer theirs.Close()
		in := bufio.NewReader(theirs)
		fmt.Fprintln(theirs, `{"QMP": {}}`)
		for i, a := range append([]string{`{"return": {}, "id": %d}`}, answers...) {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			if _, err := fmt.Fprintln(theirs, strings.ReplaceAll(a, "%d", fmt.Sprint(i+1))); err != nil {
				return
			}
		}
	}()
	return ours
}

func TestDo(t *testing.T) {
	c, err := Open(t.Context(), serve(t,
		"{\"event\": \"RESET\"}\n{\"return\": 1, \"id\": 0}\n{\"return\": {\"status\": \"paused\"}, \"id\": %d}",
		`{"error": {"class": "GenericError", "desc": "no such device"}, "id": %d}`,
		`{"return": "`+strings.Repeat("x", mostReply)+`", "id": %d}`))
	if err != nil {
		t.Fatal(err)
	}
	if is, err := c.Status(t.Context()); is != "paused" || err != nil {
		t.Errorf("Status = %q, %v, want paused", is, err)
	}
	var refused *Error
	if _, err := c.Do(t.Context(), "device_del", nil); !errors.As(err, &refused) || refused.Desc != "no such device" {
		t.Errorf("Do = %v, want what QEMU said", err)
	}
	if _, err := c.Do(t.Context(), "query-block", nil); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Do with a long answer = %v, want an error", err)
	}
}

func TestDeadline(t *testing.T) {
	for _, follow := range []bool{false, true} {
		c, err := Open(t.Context(), serve(t, `{"event": "STOP"}`, ""))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if follow {
			c.Follow(func(string) { cancel() }, func(error) {})
		} else {
			cancel()
		}
		if _, err := c.Do(ctx, "cont", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Do without an answer, follow %v = %v, want Canceled", follow, err)
		}
	}
}

func TestFollow(t *testing.T) {
	c, err := Open(t.Context(), serve(t, "{\"event\": \"RESET\"}\n{\"return\": {}, \"id\": %d}"))
	if err != nil {
		t.Fatal(err)
	}
	events, ended := make(chan string, 2), make(chan error, 1)
	c.Follow(func(name string) { events <- name }, func(err error) { ended <- err })
	if _, err := c.Do(t.Context(), "cont", nil); err != nil {
		t.Error(err)
	}
	if got := <-events; got != "RESET" {
		t.Errorf("the event is %q, want RESET", got)
	}
	if err := <-ended; err == nil {
		t.Error("the connection ended without an error")
	}
	if _, err := c.Do(t.Context(), "cont", nil); err == nil {
		t.Error("Do took a command after the end")
	}
}

func TestNoGreeting(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go fmt.Fprintln(theirs, `{"return": {}}`)
	if _, err := Open(t.Context(), ours); err == nil {
		t.Error("Open took an answer for a greeting")
	}
}

func FuzzParseReply(f *testing.F) {
	for _, s := range []string{
		`{"QMP":{"version":{},"capabilities":["oob"]}}`, `{"return":{},"id":1}`,
		`{"error":{"class":"GenericError","desc":"no"}}`, `{"event":"POWERDOWN","timestamp":{}}`,
		`{"return":{},"event":"X"}`, `{}`, `[`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReply(b)
		if err == nil && r.QMP == nil && r.Event == "" && r.Return == nil && r.Error == nil {
			t.Errorf("parseReply(%q) took nothing for an answer", b)
		}
	})
}
