package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"griddle/appliance/api/client"
	"griddle/appliance/job"
	"griddle/appliance/setting"
)

// Client is an operator's side of the API. A refusal is a *job.Problem.
type Client struct {
	base  string
	token string
	http  *http.Client
	made  client.Client // of the document of the API; it sends by send
}

// NewClient makes a client for the server at base, "https://10.0.0.1:8443", with the administrator's token.
func NewClient(base, token string, conf *tls.Config) *Client {
	c := &Client{base: strings.TrimSuffix(base, "/"), token: token, http: &http.Client{
		Timeout: logWait + 30*time.Second,
		Transport: &http.Transport{TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	c.made.Send = c.send
	return c
}

// Machines lists the machines whose names come after after, one page of them. Machines.Next is the
// after of the next page.
func (c *Client) Machines(ctx context.Context, after string) (out Machines, err error) {
	return c.matching(ctx, "", after)
}

// matching is Machines, of those that match a filter. A server that does not know filters is an error.
func (c *Client) matching(ctx context.Context, filter, after string) (out Machines, err error) {
	err = c.made.ListMachines(ctx, client.ListMachinesQuery{Filter: filter, After: after}, &out)
	if err == nil && filter != "" && out.Filter == "" {
		err = errors.New("the server is too old to filter machines; upgrade it, or leave out --filter")
	}
	return out, err
}

// EachPage calls do with every page of the list, the first one also where it is empty.
func (c *Client) EachPage(ctx context.Context, do func(Machines) error) error {
	return c.EachMatch(ctx, "", do)
}

// EachMatch is EachPage of the machines that match a filter, see package filter; "" is all.
func (c *Client) EachMatch(ctx context.Context, filter string, do func(Machines) error) error {
	for after := ""; ; {
		page, err := c.matching(ctx, filter, after)
		if err != nil {
			return err
		}
		if err := do(page); err != nil {
			return err
		}
		if page.Next == "" {
			return nil
		}
		if page.Next <= after {
			return fmt.Errorf("reading the list of machines: the page after %q ends with %q", after,
				job.Printable(page.Next))
		}
		after = page.Next
	}
}

// Machine returns the one that key names, with its jobs.
func (c *Client) Machine(ctx context.Context, key string) (out Machine, err error) {
	err = c.made.GetMachine(ctx, key, &out)
	return out, err
}

// Install gives it a job.
func (c *Client) Install(ctx context.Context, key string, in Install) (out Machine, err error) {
	err = c.made.InstallMachine(ctx, key, in, &out)
	return out, err
}

// Plan returns what a layout would do to its disks, and changes nothing.
func (c *Client) Plan(ctx context.Context, key string, in PlanLayout) (out Planned, err error) {
	err = c.made.PlanLayout(ctx, key, in, &out)
	return out, err
}

// Resume gives it its last install by a layout again.
func (c *Client) Resume(ctx context.Context, key string) (out Machine, err error) {
	err = c.made.ResumeMachine(ctx, key, &out)
	return out, err
}

// Update gives it an update. Machine.Current says that it has the image already, and got no job.
func (c *Client) Update(ctx context.Context, key string, in Update) (out Machine, err error) {
	err = c.made.UpdateMachine(ctx, key, in, &out)
	return out, err
}

// Erase gives it a job that erases one of its disks.
func (c *Client) Erase(ctx context.Context, key string, in Erase) (out Machine, err error) {
	err = c.made.EraseDisk(ctx, key, in, &out)
	return out, err
}

// Delete forgets it.
func (c *Client) Delete(ctx context.Context, key string, recovery bool) error {
	var q client.DeleteMachineQuery
	if recovery {
		q.Recovery = "lose"
	}
	return c.made.DeleteMachine(ctx, key, q, nil)
}

// Recovery returns its recovery keys, which the server notes in its journal.
func (c *Client) Recovery(ctx context.Context, key string, in ReadRecovery) (out Recovery, err error) {
	err = c.made.ReadRecoveryKeys(ctx, key, in, &out)
	return out, err
}

// Approve approves the boot of it whose screen shows code.
func (c *Client) Approve(ctx context.Context, key, code string) (out Machine, err error) {
	err = c.made.ApproveBoot(ctx, key, Approve{Code: code}, &out)
	return out, err
}

// Settings returns what it would get, and where each value comes from.
func (c *Client) Settings(ctx context.Context, key string) (out Settings, err error) {
	err = c.made.GetSettings(ctx, key, &out)
	return out, err
}

// SetSettings replaces its own settings.
func (c *Client) SetSettings(ctx context.Context, key string, d setting.Document) (out Settings, err error) {
	err = c.made.ReplaceSettings(ctx, key, "", d, &out)
	return out, err
}

// ChangeSettings changes its own settings.
func (c *Client) ChangeSettings(ctx context.Context, key string, in SettingsChange) (out Settings, err error) {
	err = c.made.ChangeSettings(ctx, key, "", in, &out)
	return out, err
}

// ClearSettings deletes its own settings.
func (c *Client) ClearSettings(ctx context.Context, key string) error {
	return c.made.ClearSettings(ctx, key, "", nil)
}

// SetManySettings replaces the own settings of several machines, by their keys: of all or of none. It returns their
// names, sorted.
func (c *Client) SetManySettings(ctx context.Context, in ManySettings) (names []string, err error) {
	err = c.made.ReplaceManySettings(ctx, in, &names)
	return names, err
}

// Rename gives it another name.
func (c *Client) Rename(ctx context.Context, key, name string) (out Machine, err error) {
	err = c.made.RenameMachine(ctx, key, Rename{Name: name}, &out)
	return out, err
}

// Merge says that the one that other names is the same machine.
func (c *Client) Merge(ctx context.Context, key, other string) (out Machine, err error) {
	err = c.made.MergeMachines(ctx, key, Merge{Other: other}, &out)
	return out, err
}

// Relay tells it to relay an image to its network.
func (c *Client) Relay(ctx context.Context, key string, in Relay) (out Machine, err error) {
	err = c.made.RelayImage(ctx, key, in, &out)
	return out, err
}

// Multicast reads the list of sessions into out.
func (c *Client) Multicast(ctx context.Context, out any) error {
	return c.made.ListMulticast(ctx, out)
}

// Control does action to a session.
func (c *Client) Control(ctx context.Context, session, action string, in StreamControl) error {
	return c.made.ControlMulticast(ctx, session, action, in, nil)
}

// Cancel takes its job back.
func (c *Client) Cancel(ctx context.Context, key string) (out Machine, err error) {
	err = c.made.CancelJob(ctx, key, &out)
	return out, err
}

// Log returns journal entries with numbers above after; it waits up to wait, a minute at most, for the first of them.
func (c *Client) Log(ctx context.Context, key string, after int64, wait time.Duration) (out Log, err error) {
	err = c.made.ReadLog(ctx, key, client.ReadLogQuery{After: after, Wait: int64(wait.Seconds())}, &out)
	return out, err
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	return c.send(ctx, client.Request{Method: method, Path: path, Body: in}, out)
}

func (c *Client) send(ctx context.Context, r client.Request, out any) error {
	var body io.Reader
	if r.Body != nil {
		b, err := json.Marshal(r.Body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.base+r.Path, body)
	if err != nil {
		return err
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking the server: %w", err)
	}
	defer res.Body.Close()
	const limit = 64 << 20
	reply, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	if len(reply) > limit {
		return fmt.Errorf("reading the server's answer: it has more than %d bytes", limit)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return job.ReadProblem(res.StatusCode, reply)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(reply, out); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	return nil
}
