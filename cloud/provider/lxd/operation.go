package lxd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"griddle/cloud/provider"
)

// operation is what LXD does in the background. It is forgotten five seconds after it is done.
type operation struct {
	ID          string              `json:"id"`
	Class       string              `json:"class"`
	Description string              `json:"description"`
	Code        int                 `json:"status_code"`
	Err         string              `json:"err"`
	Resources   map[string][]string `json:"resources"`
	Metadata    map[string]any      `json:"metadata"`
}

// Status codes of operations and instances (shared/api/status_code.go).
const (
	created  = 100
	started  = 101
	stopped  = 102
	running  = 103
	pending  = 105
	starting = 106
	stopping = 107
	frozen   = 110
	failed   = 112
	ready    = 113
	success  = 200
)

// do asks for something, and waits for its operation if it has one.
func (c *client) do(ctx context.Context, method, p string, in any, tag string, query ...string) error {
	a, err := c.call(ctx, method, p, in, nil, tag, query...)
	if err != nil {
		return err
	}
	_, err = c.await(ctx, a)
	return err
}

// await waits until the operation of an answer is done, and returns it as it was then. LXD goes on with what is not
// waited for; whoever asks again finds what it did.
func (c *client) await(ctx context.Context, a *answer) (operation, error) {
	var op operation
	if a.Type != "async" {
		return op, nil
	}
	id, _, _ := strings.Cut(path.Base(a.Operation), "?")
	limited, stop := context.WithTimeout(ctx, c.wait)
	defer stop()
	for {
		_, err := c.get(limited, "/1.0/operations/"+url.PathEscape(id)+"/wait", &op, "timeout", "30")
		switch {
		case ctx.Err() != nil:
			return op, fmt.Errorf("waiting for an operation of LXD: %w", ctx.Err())
		case limited.Err() != nil:
			return op, fmt.Errorf("waiting for %q of LXD: not done after %v: %w", op.Description, c.wait,
				provider.ErrTemporary)
		case errors.Is(err, provider.ErrNotFound):
			return op, fmt.Errorf("waiting for an operation of LXD: how it ended is lost: %w", provider.ErrTemporary)
		case err != nil:
			return op, err
		case op.Code == success:
			return op, nil
		case op.Code >= 400:
			return op, fmt.Errorf("%q of LXD: %w", op.Description, meaning(op.Code, op.Err))
		}
	}
}

// busy returns what LXD is doing to instances right now, by their names: Pending or Removing, with the operation.
func (c *client) busy(ctx context.Context) (map[string]work, error) {
	var all map[string][]operation
	if _, err := c.get(ctx, "/1.0/operations", &all, "recursion", "1"); err != nil {
		return nil, err
	}
	states := map[string]provider.State{
		"Creating instance": provider.Pending, "Starting instance": provider.Pending,
		"Stopping instance": provider.Pending, "Restarting instance": provider.Pending,
		"Deleting instance": provider.Removing,
	}
	found := make(map[string]work)
	for _, op := range slices.Concat(all["running"], all["pending"]) {
		state, known := states[op.Description]
		if !known || op.Class != "task" {
			continue
		}
		for _, r := range op.Resources["instances"] {
			name, _, _ := strings.Cut(path.Base(r), "?")
			found[name] = work{state, &answer{Type: "async", Operation: op.ID}}
		}
	}
	return found, nil
}

// work is an operation at an instance.
type work struct {
	state provider.State
	op    *answer
}

// change reads something, has edit change it, and writes it back unless edit says there is nothing to write; all over
// again where somebody else changed it in between.
func change[T any](ctx context.Context, c *client, p string, edit func(*T) (write bool, err error),
	query ...string) error {
	for try := 0; ; try++ {
		var v T
		tag, err := c.get(ctx, p, &v, query...)
		if err != nil {
			return err
		}
		write, err := edit(&v)
		if err != nil || !write {
			return err
		}
		err = c.do(ctx, http.MethodPut, p, v, tag, query...)
		if !errors.As(err, new(changed)) || try == 9 {
			return err
		}
	}
}
