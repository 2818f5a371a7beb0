package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"

	"griddle/appliance/e2e/machinetest"
)

// monitor is QEMU's machine protocol (docs/interop/qmp-spec of QEMU): JSON commands and answers, one a line, with
// events in between.
type monitor struct {
	conn net.Conn
	enc  *json.Encoder

	mu      sync.Mutex // one command at a time
	answers chan qmpAnswer
	events  *machinetest.Transcript // names of events, one a line
}

type qmpAnswer struct {
	Event  string          `json:"event"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

func openMonitor(ctx context.Context, name string, conn net.Conn) (*monitor, error) {
	m := &monitor{conn: conn, enc: json.NewEncoder(conn), answers: make(chan qmpAnswer, 1),
		events: machinetest.NewTranscript(name + " (events)")}
	go m.read()
	if err := m.command(ctx, "qmp_capabilities", nil); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *monitor) read() {
	in := bufio.NewScanner(m.conn)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var a qmpAnswer
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			continue
		}
		switch {
		case a.Event != "":
			fmt.Fprintln(m.events, a.Event)
		case a.Return != nil || a.Error != nil:
			m.answers <- a
		}
	}
	close(m.answers)
	m.events.End(errors.New("the machine is off"))
}

func (m *monitor) command(ctx context.Context, name string, args any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	message := map[string]any{"execute": name}
	if args != nil {
		message["arguments"] = args
	}
	if err := m.enc.Encode(message); err != nil {
		return fmt.Errorf("asking QEMU for %s: %w", name, err)
	}
	select {
	case a, ok := <-m.answers:
		switch {
		case !ok:
			return fmt.Errorf("asking QEMU for %s: the machine is off", name)
		case a.Error != nil:
			return fmt.Errorf("asking QEMU for %s: %s", name, a.Error.Desc)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("asking QEMU for %s: %w", name, ctx.Err())
	}
}
