package lxdtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
)

// Fake is LXD's REST API in memory, as far as the provider uses it: the paths, the codes and the words of LXD 5.0.2. It
// starts nothing. NewFake makes one.
type Fake struct {
	// Fault, if any, is asked before each request with its number, from 0. A code other than 0 is what the client gets,
	// in place of the answer: before the request did anything, or after it did all. -1 breaks the connection instead.
	Fault func(n int, r *http.Request) (code int, after bool)

	// Slow is how many requests an operation takes if no one waits for it.
	Slow int

	mu    sync.Mutex
	n     int
	ids   int
	items map[string]object // by path
	ops   []*op
}

type object = map[string]any

type op struct {
	id, what string
	about    string // path of what it is about
	left     int
	done     bool
	err      string
	meta     object
	finish   func() (err string)
}

// NewFake makes a daemon with a storage pool "test" and nothing else.
func NewFake() *Fake {
	return &Fake{
		items: map[string]object{"/1.0/storage-pools/test": {"name": "test", "driver": "dir", "config": object{}}}}
}

// SetFault changes Fault while the fake is in use.
func (f *Fake) SetFault(fault func(n int, r *http.Request) (code int, after bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Fault = fault
}

// Requests is how many there were.
func (f *Fake) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// Put makes a thing by hand, as another user would.
func (f *Fake) Put(at string, o map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items[at] = o
}

// Drop deletes a thing by hand.
func (f *Fake) Drop(at string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.items, at)
}

// Get is the thing at a path in JSON; empty where there is none.
func (f *Fake) Get(at string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.items[at]
	if !ok {
		return ""
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Paths lists all that is there, in order.
func (f *Fake) Paths() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.below("")
}

func (f *Fake) below(prefix string) []string {
	var all []string
	for p := range f.items {
		if strings.HasPrefix(p, prefix) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := f.n
	f.n++
	fault := f.Fault
	f.mu.Unlock()
	code, after := 0, false
	if fault != nil {
		code, after = fault(n, r)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<30))
	if err != nil {
		return
	}
	var status int
	var answer object
	var tag string
	if code == 0 || after {
		f.mu.Lock()
		f.tick()
		status, answer, tag = f.answer(r, body)
		f.mu.Unlock()
	}
	switch {
	case code < 0:
		panic(http.ErrAbortHandler)
	case code > 0:
		status, answer, tag = code, object{"type": "error", "error_code": code, "error": "a fault of the test"}, ""
	}
	w.Header().Set("Content-Type", "application/json")
	if tag != "" {
		w.Header().Set("ETag", tag)
	}
	if raw, ok := answer["raw"].(string); ok {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, raw)
		return
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

// tick brings operations further that nobody waits for.
func (f *Fake) tick() {
	for _, o := range f.ops {
		if !o.done {
			if o.left--; o.left < 0 {
				f.end(o)
			}
		}
	}
}

func (f *Fake) end(o *op) {
	if !o.done {
		o.done, o.err = true, o.finish()
	}
}

// begin starts an operation.
func (f *Fake) begin(what, about string, finish func() string) (int, object) {
	f.ids++
	o := &op{id: fmt.Sprintf("op-%d", f.ids), what: what, about: about, left: f.Slow, finish: finish, meta: object{}}
	f.ops = append(f.ops, o)
	return http.StatusAccepted, object{"type": "async", "operation": "/1.0/operations/" + o.id, "metadata": f.show(o)}
}

func (f *Fake) show(o *op) object {
	code := 103
	if o.done {
		code = 200
	}
	if o.err != "" {
		code = 400
	}
	return object{"id": o.id, "class": "task", "description": o.what, "status_code": code,
		"err": o.err, "metadata": o.meta,
		"resources": object{"instances": []string{o.about}}}
}

func fine(v any) object { return object{"type": "sync", "status_code": 200, "metadata": v} }

func no(code int, text string) (int, object, string) {
	return code, object{"type": "error", "error_code": code, "error": text}, ""
}

// answer is with f.mu held.
func (f *Fake) answer(r *http.Request, body []byte) (int, object, string) {
	at := path.Clean(r.URL.Path)
	parts := strings.Split(strings.TrimPrefix(at, "/1.0/"), "/")
	switch {
	case parts[0] == "operations":
		return f.operations(parts)
	case at == "/1.0/images" && r.Method == http.MethodPost:
		return f.upload(r, body)
	case len(parts) == 3 && parts[0] == "instances" && r.Method == http.MethodPut:
		return f.power(parts[1], body)
	case len(parts) == 3 && parts[0] == "instances":
		i := f.items["/1.0/instances/"+parts[1]]
		if i == nil {
			return no(http.StatusNotFound, "Instance not found")
		}
		return http.StatusOK, object{"raw": fmt.Sprintf("%s login: ", i["name"])}, ""
	case r.Method == http.MethodPost:
		return f.create(at, body)
	}
	o, there := f.items[at]
	if !there && r.Method == http.MethodGet && !named(parts) {
		return f.list(at)
	}
	if !there {
		return no(http.StatusNotFound, "Not found")
	}
	tag := tagOf(o)
	if m := r.Header.Get("If-Match"); m != "" && m != tag {
		return no(http.StatusPreconditionFailed, "Precondition failed")
	}
	switch r.Method {
	case http.MethodGet:
		return http.StatusOK, fine(f.view(at)), tag
	case http.MethodPut:
		return f.change(at, body)
	case http.MethodDelete:
		return f.remove(at)
	}
	return no(http.StatusMethodNotAllowed, "no such method")
}

// named says whether a path names a thing and no collection.
func named(parts []string) bool {
	return len(parts)%2 == 0 && parts[0] != "storage-pools" ||
		parts[0] == "storage-pools" && (len(parts) == 2 || len(parts) == 5)
}

func tagOf(o object) string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(b)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func (f *Fake) operations(parts []string) (int, object, string) {
	if len(parts) == 1 {
		all := make(map[string][]object)
		for _, o := range f.ops {
			if !o.done {
				all["running"] = append(all["running"], f.show(o))
			}
		}
		return http.StatusOK, fine(all), ""
	}
	for _, o := range f.ops {
		if o.id == parts[1] {
			f.end(o)
			return http.StatusOK, fine(f.show(o)), ""
		}
	}
	return no(http.StatusNotFound, "Operation not found")
}

func (f *Fake) list(at string) (int, object, string) {
	all := []object{}
	for _, p := range f.below(at + "/") {
		if path.Dir(p) == at {
			all = append(all, f.view(p))
		}
	}
	return http.StatusOK, fine(all), ""
}
