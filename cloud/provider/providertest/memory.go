package providertest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"

	"griddle/cloud/provider"
)

// Memory is a provider whose resources are values in this process. The zero Memory works; fields are set before the
// first call. What a person or another program does at the provider, and what the provider does by itself, are
// methods of memory_hand.go.
type Memory struct {
	// About is what Features gives; the zero one is that of a provider "memory" that takes raw images, 16 KiB of
	// user-data, and lacks nothing.
	About provider.Features

	// Steps is how often a resource is listed or ensured before what was begun with it is done: 0 for at once.
	Steps int

	// Quota is how many resources of a kind there can be; a kind without an entry has no limit.
	Quota map[provider.Kind]int

	// Before is called before each call does its work, After when it is done. An error becomes the call's: after Before
	// nothing was done, after After all was, and only its answer is lost. Both may block, and should
	// give ctx's error then.
	Before, After func(ctx context.Context, c Call) error

	mu        sync.Mutex
	calls     []Call
	made      map[identity]int
	resources []*resource
	serial    int
}

// Call is one call of Memory's methods.
type Call struct {
	N      int    // of this Memory, counted from 0
	Op     string // list, ensure, remove, control, sizes or console
	Kind   provider.Kind
	Stack  string
	Name   string
	Action provider.Action
}

// String is the call without its number: "ensure server demo/web-1".
func (c Call) String() string {
	s := c.Op
	if c.Action != "" {
		s += " " + string(c.Action)
	}
	if c.Kind != "" {
		s += " " + string(c.Kind)
	}
	if c.Stack != "" || c.Name != "" {
		s += " " + c.Stack + "/" + c.Name
	}
	return s
}

type identity struct {
	kind        provider.Kind
	stack, name string
}

// resource is what the provider has.
type resource struct {
	provider.Resource
	foreign bool // bears no labels
	steps   int  // until then is done
	then    func(*resource)
	gone    bool

	network  provider.Network
	firewall provider.Firewall
	server   provider.Server
	console  []byte
}

// Features implements provider.Provider.
func (m *Memory) Features() provider.Features {
	if m.About.Name == "" {
		return provider.Features{Name: "memory", Format: provider.Raw, UserData: 16 << 10}
	}
	return m.About
}

// begin announces a call. The lock is not held, so that hooks can look at m, and take their time.
func (m *Memory) begin(ctx context.Context, c Call) (Call, error) {
	m.mu.Lock()
	c.N = len(m.calls)
	m.calls = append(m.calls, c)
	m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return c, fmt.Errorf("asking the memory: %w", err)
	}
	if m.Before != nil {
		return c, m.Before(ctx, c)
	}
	return c, nil
}

func (m *Memory) end(ctx context.Context, c Call, err error) error {
	if err == nil && m.After != nil {
		return m.After(ctx, c)
	}
	return err
}

// List implements provider.Provider.
func (m *Memory) List(ctx context.Context, stack string) ([]provider.Resource, error) {
	c, err := m.begin(ctx, Call{Op: "list", Stack: stack})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	var all []provider.Resource
	for _, t := range slices.Clone(m.resources) {
		if t.foreign || t.Stack != stack {
			continue
		}
		if m.step(t); !t.gone {
			all = append(all, t.Resource)
		}
	}
	m.mu.Unlock()
	kinds := provider.Kinds()
	slices.SortFunc(all, func(a, b provider.Resource) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(a.Name, b.Name))
	})
	if err := m.end(ctx, c, nil); err != nil {
		return nil, err
	}
	return all, nil
}

// step brings what was begun with t further.
func (m *Memory) step(t *resource) {
	if t.then == nil {
		return
	}
	if t.steps--; t.steps < 0 {
		then := t.then
		t.then = nil
		then(t)
	}
}

// later has t in a state until m.Steps calls saw it, then does then.
func (m *Memory) later(t *resource, state provider.State, then func(*resource)) {
	t.State, t.steps, t.then = state, m.Steps, then
	if m.Steps == 0 {
		t.then = nil
		then(t)
	}
}

func become(s provider.State) func(*resource) { return func(t *resource) { t.State = s } }

func (m *Memory) byID(kind provider.Kind, id string) *resource {
	for _, t := range m.resources {
		if t.Kind == kind && t.ID == id {
			return t
		}
	}
	return nil
}

// Ensure implements provider.Provider.
func (m *Memory) Ensure(ctx context.Context, w provider.Want) (provider.Resource, error) {
	kind, stack, name := w.Identity()
	c, err := m.begin(ctx, Call{Op: "ensure", Kind: kind, Stack: stack, Name: name})
	if err != nil {
		return provider.Resource{}, err
	}
	if err := provider.Check(m.Features(), w); err != nil {
		return provider.Resource{}, err
	}
	if i, ok := w.(*provider.Image); ok && !m.has(i.Digest) {
		if err := readImage(ctx, i); err != nil {
			return provider.Resource{}, err
		}
	}
	m.mu.Lock()
	r, err := m.ensure(w)
	m.mu.Unlock()
	if err := m.end(ctx, c, err); err != nil {
		return provider.Resource{}, err
	}
	return r, nil
}

// has says whether an image with this digest is there.
func (m *Memory) has(digest string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.resources, func(t *resource) bool {
		return t.Kind == provider.KindImage && t.Digest == digest
	})
}

// readImage does what an upload does.
func readImage(ctx context.Context, i *provider.Image) error {
	b, err := i.Open()
	if err != nil {
		return fmt.Errorf("opening image %q: %w", i.Name, err)
	}
	defer b.Close()
	h := sha256.New()
	if n, err := io.Copy(h, io.NewSectionReader(b, 0, i.Size)); err != nil || n != i.Size {
		return fmt.Errorf("reading image %q: %d of %d bytes: %w", i.Name, n, i.Size, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != i.Digest {
		return fmt.Errorf("image %q is %s and not %s: %w", i.Name, got, i.Digest, provider.ErrInvalid)
	}
	return ctx.Err()
}

func (m *Memory) ensure(w provider.Want) (provider.Resource, error) {
	kind, stack, name := w.Identity()
	var old *resource
	for _, t := range m.resources {
		same := t.Kind == kind && t.Stack == stack && t.Name == name
		if i, ok := w.(*provider.Image); ok && !t.foreign && t.Kind == kind && t.Digest == i.Digest {
			same = true
		}
		if same && t.foreign {
			return provider.Resource{}, fmt.Errorf("making %s %q: %w", kind, name, provider.ErrTaken)
		}
		if same {
			old = t
		}
	}
	if old != nil && old.State == provider.Removing {
		m.step(old)
		if !old.gone {
			return provider.Resource{}, fmt.Errorf("making %s %q: the old one is still being removed: %w", kind, name,
				provider.ErrTemporary)
		}
		old = nil
	}
	if old != nil {
		m.step(old)
		err := m.change(old, w)
		return old.Resource, err
	}
	t := &resource{Resource: provider.Resource{Kind: kind, Stack: stack, Name: name, Want: w.Fingerprint()}}
	if err := m.change(t, w); err != nil {
		return provider.Resource{}, err
	}
	if most, limited := m.Quota[kind]; limited && m.count(kind) >= most {
		m.unbind(t)
		return provider.Resource{}, fmt.Errorf("making %s %q: there are %d already: %w", kind, name,
			most, provider.ErrQuota)
	}
	m.serial++
	t.ID = fmt.Sprintf("%s-%d", kind, m.serial)
	m.fill(t, w)
	m.resources = append(m.resources, t)
	if m.made == nil {
		m.made = make(map[identity]int)
	}
	m.made[identity{kind, stack, name}]++
	m.later(t, provider.Pending, become(provider.Ready))
	return t.Resource, nil
}

func (m *Memory) count(kind provider.Kind) (n int) {
	for _, t := range m.resources {
		if t.Kind == kind {
			n++
		}
	}
	return n
}

// fill sets what a new resource keeps for its life.
func (m *Memory) fill(t *resource, w provider.Want) {
	switch w := w.(type) {
	case *provider.Image:
		t.Digest, t.Size = w.Digest, w.Size
	case *provider.Network:
		t.network = *w
	case *provider.Address:
		t.Public = netip.AddrFrom4([4]byte{192, 0, 2, byte(m.serial)})
	case *provider.Server:
		t.Image, t.Private = w.Image, w.Private
		if !t.Private.IsValid() {
			t.Private = m.free(m.byID(provider.KindNetwork, w.Network))
		}
		for _, id := range w.Volumes {
			m.byID(provider.KindVolume, id).Bound = t.ID
		}
		m.bindAddress(t, w.Address)
	}
}

// change checks what w refers to, and changes in t what can be. A new t has no ID yet.
func (m *Memory) change(t *resource, w provider.Want) error {
	switch w := w.(type) {
	case *provider.Firewall:
		t.firewall = *w
	case *provider.Volume:
		t.Resource.Size = max(t.Resource.Size, w.Size)
	case *provider.Server:
		if t.ID != "" && t.Want != w.Fingerprint() {
			return nil
		}
		return m.changeServer(t, w)
	}
	return nil
}
